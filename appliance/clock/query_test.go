package clock

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/beevik/ntp"
)

// answer is what a good server, whose clock is off, says to a request (RFC 5905,
// 7.3).
func answer(request []byte, off time.Duration) []byte {
	a := make([]byte, 48)
	a[0], a[1], a[2], a[3] = 0x24, 2, 6, 0xec // Version 4, server, stratum 2, precision 1 µs.
	binary.BigEndian.PutUint32(a[4:], 1<<10)  // Root delay 16 ms.
	binary.BigEndian.PutUint32(a[8:], 1<<9)
	now := time.Now().Add(off)
	stamp(a[16:], now.Add(-time.Minute))
	copy(a[24:32], request[40:48])
	stamp(a[32:], now)
	stamp(a[40:], now)
	return a
}

func stamp(b []byte, t time.Time) {
	binary.BigEndian.PutUint32(b, uint32(t.Unix()+2208988800)) // Since 1900.
	binary.BigEndian.PutUint32(b[4:], uint32(uint64(t.Nanosecond())<<32/1e9))
}

// server answers on loopback until the test ends.
func server(t *testing.T, reply func(request []byte) []byte) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = c.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 100)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if n >= 48 {
				_, _ = c.WriteTo(reply(b[:n]), from)
			}
		}
	}()
	return c.LocalAddr().String()
}

// asking is a machine that really asks, and only pretends to set its clock.
type asking struct {
	linux
	steps chan time.Duration
}

func (a asking) step(d time.Duration) error { a.steps <- d; return nil }
func (a asking) slew(d time.Duration) error { a.steps <- d; return nil }

func TestServers(t *testing.T) {
	const years = 365 * 24 * time.Hour
	good := func(request []byte) []byte { return answer(request, 3*years) }
	a, b := server(t, good), server(t, good)
	liar := server(t, func(request []byte) []byte { return answer(request, -3*years) })
	dying := server(t, func(request []byte) []byte {
		kiss := answer(request, 0)
		kiss[1] = 0
		return kiss
	})
	m := asking{steps: make(chan time.Duration, 1)}
	c := newClock(Config{Built: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), Log: slog.New(slog.DiscardHandler)}, m)
	c.SetServers([]string{a, dying, liar, b})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	if err := c.Wait(t.Context(), 30*time.Second); err != nil {
		t.Fatal(err)
	}
	if got := <-m.steps; (got - 3*years).Abs() > 10*time.Second {
		t.Errorf("the clock is set by %v, want 3 years", got)
	}
}

// TestNew holds that the machine's own clock is unknown, and left alone, until
// Run.
func TestNew(t *testing.T) {
	c := New(Config{Built: built, Log: slog.New(slog.DiscardHandler)})
	c.SetServers([]string{"127.0.0.1:9"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Wait(ctx, time.Hour); !errors.Is(err, ErrUnknown) || c.Known() || c.Err() != nil {
		t.Errorf("got %v, known %v, %v", err, c.Known(), c.Err())
	}
}

func TestBadAnswers(t *testing.T) {
	change := func(at int, values ...byte) func([]byte) []byte {
		return func(request []byte) []byte {
			a := answer(request, 0)
			copy(a[at:], values)
			return a
		}
	}
	if s, err := (linux{}).ask(t.Context(), server(t, func(r []byte) []byte { return answer(r, time.Hour) })); err != nil || (s.offset-time.Hour).Abs() > 10*time.Second {
		t.Fatalf("a good answer gives %+v, %v", s, err)
	}
	for name, reply := range map[string]func([]byte) []byte{
		"short":                     func(r []byte) []byte { return answer(r, 0)[:20] },
		"poll interval":             change(2, 0x80),
		"precision":                 change(3, 0x80),
		"not ours":                  change(24, 1, 2, 3, 4, 5, 6, 7, 8),
		"kiss of death":             change(1, 0),
		"stratum 16":                change(1, 16),
		"not synchronized":          change(0, 0xe4),
		"no answer but a question":  change(0, 0x23),
		"far from its own source":   change(8, 1, 0),
		"no longer fresh":           change(16, 0xd0),
		"no time at all":            change(40, 0, 0, 0, 0, 0, 0, 0, 0),
		"sent before it was asked":  change(40, 0xe0),
		"known after it was set":    change(16, 0xff),
		"root delay beyond measure": change(4, 0xff, 0xff),
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := (linux{}).ask(t.Context(), server(t, reply)); err == nil {
				t.Errorf("believed: %+v", s)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (linux{}).ask(ctx, "127.0.0.1:9"); !errors.Is(err, context.Canceled) && (err == nil || !strings.Contains(err.Error(), "canceled")) {
		t.Errorf("asked although it is over: %v", err)
	}
}

// wire is a connection to a server that says what is fuzzed.
type wire struct {
	net.Conn
	answer []byte
	nonce  []byte
}

func (w *wire) Write(b []byte) (int, error) {
	w.nonce = append([]byte(nil), b[40:48]...)
	return len(b), nil
}

func (w *wire) Read(b []byte) (int, error) {
	n := copy(b, w.answer)
	if n >= 32 {
		copy(b[24:32], w.nonce)
	}
	return n, nil
}
func (*wire) Close() error                { return nil }
func (*wire) SetDeadline(time.Time) error { return nil }
func (*wire) LocalAddr() net.Addr         { return &net.UDPAddr{} }
func (*wire) RemoteAddr() net.Addr        { return &net.UDPAddr{} }

// FuzzAnswer holds that whatever a server says, a sample says how wrong it may
// be, and is either possible or refused.
func FuzzAnswer(f *testing.F) {
	f.Add(answer(make([]byte, 48), 0))
	f.Add(answer(make([]byte, 48), -time.Hour))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, packet []byte) {
		s, err := query("server", ntp.QueryOptions{Dialer: func(_, _ string) (net.Conn, error) { return &wire{answer: packet}, nil }})
		if err != nil {
			return
		}
		if s.within < leastWithin {
			t.Errorf("a sample is too exact: %+v", s)
		}
		if _, err := agree([]sample{s, s, {"other", s.offset, leastWithin}}); err != nil {
			t.Errorf("%+v does not agree with itself: %v", s, err)
		}
	})
}
