package imapd_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
	"go.uber.org/goleak"

	"leap.example/client/imapd"
	"leap.example/client/mailstore"
	"leap.example/client/mailstore/door"
	"leap.example/client/soledad"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const password = "app-password"

// A world is a store and a server over it.
type world struct {
	mail *mailstore.Store
	docs *soledad.Store
	addr string
}

func start(tb testing.TB) world {
	tb.Helper()
	return startAt(tb, filepath.Join(tb.TempDir(), "store.db"))
}

func startAt(tb testing.TB, path string) world {
	tb.Helper()
	docs, err := soledad.Open(tb.Context(), path, [32]byte{1})
	check(tb, err)
	tb.Cleanup(func() { check(tb, docs.Close()) })
	mail, err := mailstore.New(tb.Context(), docs)
	check(tb, err)
	cfg := imapd.Config{Key: door.Key{Address: "alice@leap.example", Password: password, Delay: time.Millisecond}}
	server, err := imapd.New(cfg, mail, discreet(tb))
	check(tb, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, ln) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("Serve: %v", err)
		}
	})
	return world{mail, docs, ln.Addr().String()}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (w world) dial(tb testing.TB, opt *imapclient.Options) *imapclient.Client {
	tb.Helper()
	c, err := imapclient.DialInsecure(w.addr, opt)
	check(tb, err)
	tb.Cleanup(func() { c.Close() })
	check(tb, c.Login("alice@leap.example", password).Wait())
	return c
}

func (w world) add(tb testing.TB, mailbox, raw string, flags ...string) {
	tb.Helper()
	raw = strings.ReplaceAll(raw, "\n", "\r\n")
	_, _, err := w.mail.Append(tb.Context(), mailbox, []byte(raw), flags, time.Unix(1700000000, 0), mailstore.AppendOptions{})
	check(tb, err)
}

func text(subject string) string {
	return "From: Bob <bob@leap.example>\nTo: alice@leap.example\nSubject: " + subject + "\nMessage-ID: <" + subject + "@leap.example>\n\nbody of " + subject + "\n"
}

// discreet returns a log that may hold no address and no canary at info level
// and above.
func discreet(tb testing.TB) *slog.Logger {
	tb.Helper()
	var b lockedBuffer
	tb.Cleanup(func() {
		if s := strings.ToLower(b.String()); strings.Contains(s, ".example") || strings.Contains(s, "canary") {
			tb.Errorf("the log tells too much:\n%s", s)
		}
	})
	return slog.New(slog.NewTextHandler(&b, nil))
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
