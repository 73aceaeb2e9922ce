package tuftest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A Mirror has the files of a repository. As a source of package tufclient it is
// one in memory, as an http.Handler one behind a server. Its fields are changed
// while nobody asks it.
type Mirror struct {
	Name  string
	Files map[string][]byte
	// Body, if it is there, says what is sent for a file instead, or for what follows
	// of it the byte from which on it is asked for.
	Body func(ctx context.Context, name string, data []byte) io.Reader
	// Answer, if it is there, answers a request instead, if it returns true.
	Answer func(w http.ResponseWriter, req *http.Request, name string) bool

	mu    sync.Mutex
	asked []string
	sent  int64
}

// Asked returns the names of what was asked for since the last call, and how many
// bytes were sent in memory.
func (m *Mirror) Asked() ([]string, int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked, sent := m.asked, m.sent
	m.asked, m.sent = nil, 0
	return asked, sent
}

// String is the mirror's name.
func (m *Mirror) String() string { return "mirror " + m.Name }

// Fetch is that of a source. It pays no heed to the limit, as a mirror would that
// means harm.
func (m *Mirror) Fetch(ctx context.Context, name string, _, off int64) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, name)
	data, ok := m.Files[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	data = data[min(off, int64(len(data))):]
	var body io.Reader = bytes.NewReader(data)
	if m.Body != nil {
		if b := m.Body(ctx, name, data); b != nil {
			body = b
		}
	}
	return io.NopCloser(counted{body, m}), nil
}

type counted struct {
	from io.Reader
	m    *Mirror
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.m.sent += int64(n)
	return n, err
}

// ServeHTTP serves the files below any path that ends with /repo/.
func (m *Mirror) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	_, name, _ := strings.Cut(req.URL.Path, "/repo/")
	m.mu.Lock()
	m.asked = append(m.asked, name)
	data, ok := m.Files[name]
	m.mu.Unlock()
	if m.Answer != nil && m.Answer(w, req, name) {
		return
	}
	if !ok {
		http.NotFound(w, req)
		return
	}
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(data))
}

// Endless is a body without an end.
type Endless struct{}

// Read fills b.
func (Endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

// Broken returns a body that ends with an error after n bytes of data.
func Broken(data []byte, n int) io.Reader {
	return io.MultiReader(bytes.NewReader(data[:min(n, len(data))]), failing{})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Trickle returns a body that sends one byte a second.
func Trickle(ctx context.Context) io.Reader { return trickle{ctx} }

type trickle struct{ ctx context.Context }

func (t trickle) Read(b []byte) (int, error) {
	select {
	case <-t.ctx.Done():
		return 0, t.ctx.Err()
	case <-time.After(time.Second):
		b[0] = 'x'
		return 1, nil
	}
}
