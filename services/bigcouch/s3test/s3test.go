// Package s3test is object storage for tests: enough of S3 for what backups do,
// in memory, on loopback. It checks that requests are signed by its account, and
// not the signatures.
package s3test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Bucket is the only bucket there is.
const Bucket = "backups"

// A Server is running object storage.
type Server struct {
	URL         string
	Credentials string // Path of the file with the account.

	mu      sync.Mutex // Guards what follows.
	objects map[string][]byte
	uploads map[string]*upload
	last    int
	refuse  int // Parts from this number on are refused. 0: none.
}

type upload struct {
	key   string
	parts map[int][]byte
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{objects: map[string][]byte{}, uploads: map[string]*upload{}}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	s.URL = h.URL
	s.Credentials = filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(s.Credentials, []byte("[default]\naws_access_key_id = tester\naws_secret_access_key = secret of the tester\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// Objects returns a copy of what is kept.
func (s *Server) Objects() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.objects)
}

// Pending returns how many uploads were neither completed nor given up.
func (s *Server) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.uploads)
}

// RefuseFrom makes the server refuse parts from this number on.
func (s *Server) RefuseFrom(part int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = part
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Authorization"), "Credential=tester/") {
		fail(w, http.StatusForbidden, "AccessDenied")
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if bucket != Bucket {
		fail(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	body, err := payload(r)
	if err != nil {
		fail(w, http.StatusBadRequest, "IncompleteBody")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	switch id := q.Get("uploadId"); {
	case key == "" && q.Has("location"):
		fmt.Fprint(w, `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>`)
	case key == "" && q.Has("uploads"):
		s.listUploads(w)
	case key == "":
		s.list(w, q.Get("prefix"))
	case r.Method == "POST" && q.Has("uploads"):
		s.last++
		s.uploads[strconv.Itoa(s.last)] = &upload{key, map[int][]byte{}}
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><Bucket>%s</Bucket><Key>%s</Key><UploadId>%d</UploadId></InitiateMultipartUploadResult>", Bucket, key, s.last)
	case id != "":
		s.multipart(w, r, id, body)
	case r.Method == "DELETE":
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == "PUT":
		s.objects[key] = body
		w.Header().Set("ETag", etag(body))
	default:
		data, ok := s.objects[key]
		if !ok {
			fail(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", etag(data))
		http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(data))
	}
}

func etag(data []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(data)) }

// multipart serves an upload in parts.
func (s *Server) multipart(w http.ResponseWriter, r *http.Request, id string, body []byte) {
	u := s.uploads[id]
	if u == nil {
		fail(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	switch r.Method {
	case "PUT":
		n, err := strconv.Atoi(r.URL.Query().Get("partNumber"))
		if err != nil || r.Header.Get("Content-MD5") == "" || s.refuse > 0 && n >= s.refuse {
			fail(w, http.StatusForbidden, "AccessDenied")
			return
		}
		u.parts[n] = body
		w.Header().Set("ETag", etag(body))
	case "DELETE":
		delete(s.uploads, id)
		w.WriteHeader(http.StatusNoContent)
	case "POST":
		var whole []byte
		for _, n := range slices.Sorted(maps.Keys(u.parts)) {
			whole = append(whole, u.parts[n]...)
		}
		s.objects[u.key] = whole
		delete(s.uploads, id)
		fmt.Fprintf(w, "<CompleteMultipartUploadResult><Bucket>%s</Bucket><Key>%s</Key><ETag>x</ETag></CompleteMultipartUploadResult>", Bucket, u.key)
	default:
		fail(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
}

func (s *Server) list(w http.ResponseWriter, prefix string) {
	type object struct {
		Key          string
		LastModified string
		Size         int
	}
	var out struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Name     string
		Prefix   string
		KeyCount int
		Contents []object
	}
	out.Name, out.Prefix = Bucket, prefix
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if strings.HasPrefix(key, prefix) {
			out.Contents = append(out.Contents, object{key, "2026-01-01T00:00:00Z", len(s.objects[key])})
		}
	}
	out.KeyCount = len(out.Contents)
	_ = xml.NewEncoder(w).Encode(out) // A broken connection has nowhere to report to.
}

func (s *Server) listUploads(w http.ResponseWriter) {
	type one struct {
		Key       string
		ID        string `xml:"UploadId"`
		Initiated string
	}
	var out struct {
		XMLName xml.Name `xml:"ListMultipartUploadsResult"`
		Upload  []one
	}
	for id, u := range s.uploads {
		out.Upload = append(out.Upload, one{u.key, id, "2026-01-01T00:00:00Z"})
	}
	_ = xml.NewEncoder(w).Encode(out) // As above.
}

// payload reads a body, which must have the MD5 that it says.
func payload(r *http.Request) ([]byte, error) {
	data, err := io.ReadAll(r.Body)
	want, sum := r.Header.Get("Content-MD5"), md5.Sum(data)
	if err == nil && want != "" && want != base64.StdEncoding.EncodeToString(sum[:]) {
		err = errors.New("the MD5 does not match")
	}
	return data, err
}
