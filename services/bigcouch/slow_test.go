package bigcouch

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A client that stops in the middle of its request, or takes no answer, is cut.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Listen: "127.0.0.1:0", Dir: filepath.Join(dir, "db"), Accounts: []ConfigAccount{{Name: "a", PasswordFile: file, Admin: true}}}
	s, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.idle = 300 * time.Millisecond
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	dial := func(request string) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprint(conn, strings.ReplaceAll(request, "\n", "\r\n"))
		return conn
	}
	answer := func(conn net.Conn) string {
		data, _ := io.ReadAll(conn) // Until it is cut.
		return string(data)
	}
	const auth = "Host: x\nAuthorization: Basic YTp4\n"
	const last = auth + "Connection: close\n"
	if a := answer(dial("PUT /db HTTP/1.1\n" + last + "\n")); !strings.HasPrefix(a, "HTTP/1.1 201") {
		t.Fatalf("creating the database: %s", a)
	}
	if a := answer(dial("PUT /db/slow HTTP/1.1\n" + auth + "Content-Length: 1000\n\n{")); !strings.HasPrefix(a, "HTTP/1.1 400") {
		t.Errorf("half a body: %s", a)
	}
	halves := []string{
		"POST /db/_bulk_docs HTTP/1.1\n" + auth + "Content-Type: application/json\nContent-Length: 1000\n\n{",
		"PUT /db/slow/f HTTP/1.1\n" + auth + "Content-Length: 1000\n\n{",
		"PUT /db/slow HTTP/1.1\n" + auth + "Content-Type: multipart/related; boundary=x\nContent-Length: 1000\n\n--x\n\n{}",
		"PUT /db/slow HTTP/1.1\n" + auth + "Content-Type: multipart/related; boundary=x\nContent-Length: 1000\n\n--x\n\n" +
			`{"_attachments":{"f":{"follows":true}}}` + "\n--x\n\nhalf an attach",
	}
	conns := make([]net.Conn, len(halves))
	for i, request := range halves {
		conns[i] = dial(request)
	}
	for i, conn := range conns {
		if a := answer(conn); !strings.HasPrefix(a, "HTTP/1.1 400") {
			t.Errorf("half of %.60q: %s", halves[i], a)
		}
	}
	size := 8 << 20
	if a := answer(dial(fmt.Sprintf("PUT /db/big/f HTTP/1.1\n%sContent-Length: %d\n\n%s", last, size, strings.Repeat("x", size)))); !strings.HasPrefix(a, "HTTP/1.1 201") {
		t.Fatalf("big attachment: %s", a)
	}
	conn := dial("GET /db/big/f HTTP/1.1\n" + auth + "\n")
	time.Sleep(4 * s.idle) // Takes nothing for longer than it may.
	if n := len(answer(conn)); n >= size {
		t.Errorf("%d bytes came to a client that did not take them", n)
	}
	// A feed may be silent for longer.
	feed := dial("GET /db/_changes?feed=longpoll&since=now&timeout=1200 HTTP/1.1\n" + last + "\n")
	if a := answer(feed); !strings.Contains(a, `"pending":0}`) {
		t.Errorf("silent feed: %s", a)
	}
}
