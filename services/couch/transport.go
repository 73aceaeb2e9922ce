package couch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Deadlines. A request as a whole has requestTimeout, unless it is a feed; a
// feed must send something, if only its heartbeat, within idleTimeout.
const (
	dialTimeout    = 5 * time.Second
	pingTimeout    = 3 * time.Second
	requestTimeout = 60 * time.Second
	heartbeat      = 10 * time.Second
	idleTimeout    = 30 * time.Second
)

var errNoResolver = errors.New("no resolver is configured")

// dialer returns what connects to nodes. It asks the resolver at the address
// host:port, never the system's; with an empty one it knows no name but what
// the file of hosts says, which is "localhost".
func dialer(resolver string) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: dialTimeout, Resolver: &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			if resolver == "" {
				return nil, errNoResolver
			}
			var d net.Dialer
			return d.DialContext(ctx, network, resolver)
		},
	}}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err == nil && net.ParseIP(host) == nil && !strings.HasSuffix(host, ".") {
			address = net.JoinHostPort(host+".", port) // Not in a domain that the system's configuration names.
		}
		return d.DialContext(ctx, network, address)
	}
}

func newTransport(caFile, resolver string) (*http.Transport, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("reading ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("ca_file has no certificate")
		}
	}
	return &http.Transport{
		DialContext:           dialer(resolver),
		TLSClientConfig:       conf,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: idleTimeout,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
	}, nil
}

// opHeader names a logical write: a node that has seen the id answers as it
// did the first time (database.md section 6).
const opHeader = "X-Leap-Op"

type opKey struct{}

// freshHeader asks a node of ours to answer only after having caught up with
// what was acknowledged anywhere before: what one service writes through one
// node, another reads through another. Apache CouchDB does not know it; there
// the default quorums of documents overlap.
const freshHeader = "X-Leap-Fresh"

// staleKey marks a context under which an old answer is better than none.
type staleKey struct{}

// reads reports whether a request only reads, and is no feed.
func reads(req *http.Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead:
		return !strings.HasSuffix(req.URL.Path, "/_changes")
	case http.MethodPost:
		return strings.HasSuffix(req.URL.Path, "/_find") || strings.HasSuffix(req.URL.Path, "/_all_docs")
	}
	return false
}

// withOp marks the requests of ctx as attempts of one write.
func withOp(ctx context.Context) context.Context {
	return context.WithValue(ctx, opKey{}, randomHex(16))
}

// door adds the account and the op id to requests, and watches over answers.
type door struct {
	next http.RoundTripper
	user string
	file string

	mu       sync.Mutex // Guards password.
	password string
}

// RoundTrip implements http.RoundTripper.
func (d *door) RoundTrip(req *http.Request) (*http.Response, error) {
	password, err := d.read()
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	ctx, cancel := context.WithCancel(req.Context())
	req = req.Clone(ctx)
	req.SetBasicAuth(d.user, password)
	if ctx.Value(staleKey{}) == nil && reads(req) {
		req.Header.Set(freshHeader, "1")
	}
	if id, ok := ctx.Value(opKey{}).(string); ok {
		req.Header.Set(opHeader, id)
	}
	resp, err := d.next.RoundTrip(req)
	if err != nil {
		cancel()
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized {
		d.forget()
	}
	resp.Body = &body{ReadCloser: resp.Body, cancel: cancel}
	return resp, nil
}

// read returns the password, from the file when it is not yet known or was
// refused: the file may be there later than the process, or change.
func (d *door) read() (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.password == "" {
		b, err := os.ReadFile(d.file)
		if err != nil {
			return "", fmt.Errorf("reading password_file: %w", err)
		}
		d.password = string(bytes.TrimRight(b, "\r\n"))
	}
	return d.password, nil
}

func (d *door) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.password = ""
}

// body ends a request whose answer pauses for idleTimeout.
type body struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *body) Read(p []byte) (int, error) {
	t := time.AfterFunc(idleTimeout, b.cancel)
	defer t.Stop()
	return b.ReadCloser.Read(p)
}

func (b *body) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}
