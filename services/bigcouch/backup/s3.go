package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3 says how object storage is reached.
type S3 struct {
	Endpoint    string // URL. Empty: https://s3.amazonaws.com.
	Region      string // Empty: asked for, or us-east-1.
	Credentials string // Path of a file in the form of AWS: [default], aws_access_key_id, aws_secret_access_key.
	PartBytes   uint64 // Size of the pieces that are sent, one of which is kept in memory. 0: 32 MiB. There may be 10,000.
}

// defaultPart makes 320 GB the largest backup. Who needs more says so.
const defaultPart = 32 << 20

// stalled is how long a connection may stand still.
const stalled = 2 * time.Minute

// An objects is a Place in object storage: the objects below a prefix.
type objects struct {
	c      *minio.Client
	bucket string
	prefix string // Empty, or with a slash at its end.
	part   uint64
}

func (s S3) open(bucket, prefix string) (Place, error) {
	u, err := url.Parse(cmp.Or(s.Endpoint, "https://s3.amazonaws.com"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("endpoint %q: want https://HOST", s.Endpoint)
	}
	if bucket == "" {
		return nil, errors.New("no bucket is named: want s3://bucket/prefix")
	}
	if s.Credentials == "" {
		return nil, errors.New("no file with the credentials of the object storage is named")
	}
	who := credentials.NewFileAWSCredentials(s.Credentials, "default")
	if v, err := who.GetWithContext(nil); err != nil || v.AccessKeyID == "" || v.SecretAccessKey == "" {
		return nil, fmt.Errorf("credentials of the object storage in %s: want [default] with aws_access_key_id and aws_secret_access_key", s.Credentials)
	}
	c, err := minio.New(u.Host, &minio.Options{
		Creds: who, Secure: u.Scheme == "https", Region: s.Region, MaxRetries: 5,
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dial,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: stalled,
			IdleConnTimeout:       time.Minute,
			DisableCompression:    true,
		},
	})
	if err != nil {
		return nil, err
	}
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return objects{c, bucket, prefix, cmp.Or(s.PartBytes, defaultPart)}, nil
}

// dial connects, and lets no connection stand still for too long.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return moving{c}, nil
}

// moving is a connection whose deadlines each read and write renews.
type moving struct{ net.Conn }

func (m moving) Read(p []byte) (int, error) {
	if err := m.SetReadDeadline(time.Now().Add(stalled)); err != nil {
		return 0, err
	}
	return m.Conn.Read(p)
}

func (m moving) Write(p []byte) (int, error) {
	if err := m.SetWriteDeadline(time.Now().Add(stalled)); err != nil {
		return 0, err
	}
	return m.Conn.Write(p)
}

// Put implements Place: pieces are sent one after the other, each with its MD5,
// and become an object with the last step. Pieces are not signed as streams,
// which not all object storage understands.
func (o objects) Put(ctx context.Context, name string, r io.Reader) error {
	_, err := o.c.PutObject(ctx, o.bucket, o.prefix+name, until{ctx, r}, -1, minio.PutObjectOptions{
		ContentType: "application/octet-stream", PartSize: o.part, NumThreads: 1,
		DisableContentSha256: true, SendContentMd5: true,
	})
	if err != nil && ctx.Err() != nil { // The library has tried to give up the pieces, with a context that is done.
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		err = errors.Join(err, o.c.RemoveIncompleteUpload(late, o.bucket, o.prefix+name))
	}
	return err
}

// List implements Place.
func (o objects) List(ctx context.Context) (names []string, err error) {
	for info := range o.c.ListObjects(ctx, o.bucket, minio.ListObjectsOptions{Prefix: o.prefix + "couch-"}) {
		if info.Err != nil {
			return nil, info.Err
		}
		if name := strings.TrimPrefix(info.Key, o.prefix); isName(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Open implements Place.
func (o objects) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	obj, err := o.c.GetObject(ctx, o.bucket, o.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	if _, err := obj.Stat(); err != nil {
		if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
			err = fmt.Errorf("%w: s3://%s/%s%s", ErrNoBackup, o.bucket, o.prefix, name)
		}
		return nil, errors.Join(err, obj.Close())
	}
	return obj, nil
}

// Remove implements Place.
func (o objects) Remove(ctx context.Context, name string) error {
	return o.c.RemoveObject(ctx, o.bucket, o.prefix+name, minio.RemoveObjectOptions{})
}
