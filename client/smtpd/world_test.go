package smtpd_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"go.uber.org/goleak"

	"leap.example/client/keymanager"
	"leap.example/client/mailstore"
	"leap.example/client/mailstore/door"
	"leap.example/client/smtpd"
	"leap.example/client/soledad"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// A directory is a key server.
type directory struct {
	mu   sync.Mutex
	keys map[nick.Address]nick.Key
	err  error
}

func (d *directory) Lookup(_ context.Context, a nick.Address) (nick.Key, nick.Level, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return nick.Key{}, 0, d.err
	}
	k, ok := d.keys[a]
	if !ok {
		return k, 0, problem.NotExist.Errorf("no key")
	}
	return k, nick.Endorsed, nil
}

func (d *directory) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// A sent is what the relay got.
type sent struct {
	from string
	to   []string
	raw  []byte
}

// A relay takes messages, or answers as it is told.
type relay struct {
	mu     sync.Mutex
	taken  []sent
	answer func(n int, to []string) error // n counts the attempts.
	n      int
}

func (r *relay) Submit(_ context.Context, from string, to []string, msg []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	var err error
	if r.answer != nil {
		err = r.answer(r.n, to)
	}
	partial, ok := errors.AsType[*smtpd.Partial](err)
	if err != nil && !ok {
		return err
	}
	var got []string
	for _, a := range to {
		if !ok || partial.Refused[a] == nil {
			got = append(got, a)
		}
	}
	if len(got) > 0 {
		r.taken = append(r.taken, sent{from, got, bytes.Clone(msg)})
	}
	return err
}

// wait returns what was taken, once it is n messages.
func (r *relay) wait(tb testing.TB, n int) []sent {
	tb.Helper()
	poll(tb, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.taken) >= n })
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.taken)
}

func poll(tb testing.TB, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatal("waited in vain")
		}
	}
}

// An account is a store with keys.
type account struct {
	docs *soledad.Store
	mail *mailstore.Store
	keys *keymanager.Keys
}

func newAccount(tb testing.TB, path string, a nick.Address, d *directory) account {
	tb.Helper()
	docs, err := soledad.Open(tb.Context(), path, [32]byte{1})
	check(tb, err)
	tb.Cleanup(func() { check(tb, docs.Close()) })
	keys := keymanager.New(docs, d, a, nil)
	mail, err := mailstore.New(tb.Context(), docs)
	check(tb, err)
	own, err := keys.Create(tb.Context())
	check(tb, err)
	d.mu.Lock()
	d.keys[a] = own.Key()
	d.mu.Unlock()
	return account{docs, mail, keys}
}

// A world is an account that writes, correspondents, and a server.
type world struct {
	account
	dir    *directory
	others map[string]account
	relay  *relay
	server *smtpd.Server
	addr   string
}

const password = "app-password"

func start(tb testing.TB, change func(*smtpd.Config)) *world {
	tb.Helper()
	w := &world{dir: &directory{keys: map[nick.Address]nick.Key{}}, relay: &relay{}, others: map[string]account{}}
	w.account = newAccount(tb, filepath.Join(tb.TempDir(), "alice.db"), "alice@leap.example", w.dir)
	for _, name := range []string{"bob", "carol"} {
		w.others[name] = newAccount(tb, filepath.Join(tb.TempDir(), name+".db"), nick.Address(name+"@leap.example"), w.dir)
	}
	cfg := smtpd.Config{Key: door.Key{Address: "alice@leap.example", Password: password, Delay: time.Millisecond}, Aliases: []nick.Address{"al@leap.example"}}
	if change != nil {
		change(&cfg)
	}
	server, err := smtpd.New(cfg, w.docs, w.mail, w.keys, w.relay, discreet(tb))
	check(tb, err)
	server.SetPause(func(int) time.Duration { return 10 * time.Millisecond })
	w.server = server
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(tb, err)
	w.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- server.Serve(ctx, ln) }()
	go func() { done <- server.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		check(tb, errors.Join(<-done, <-done))
	})
	return w
}

// send submits a message as a mail program does.
func (w *world) send(tb testing.TB, from string, to []string, raw string) error {
	tb.Helper()
	c, err := smtp.Dial(w.addr)
	check(tb, err)
	defer c.Close()
	check(tb, c.Auth(sasl.NewPlainClient("", "alice@leap.example", password)))
	return c.SendMail(from, to, strings.NewReader(strings.ReplaceAll(raw, "\n", "\r\n")))
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
