package upstream_test

import (
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"leap.example/services/dns/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newSet returns upstreams as the configuration names them.
func newSet(t *testing.T, caFile string, texts ...string) *upstream.Set {
	t.Helper()
	var list []upstream.Address
	for _, text := range texts {
		a, err := upstream.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, a)
	}
	set := upstream.New(list, caFile, slog.New(slog.DiscardHandler))
	t.Cleanup(set.Close)
	return set
}

func query(name string) upstream.Query { return upstream.Query{Name: name, Type: dns.TypeTXT} }

// ask asks for a name and checks the answer.
func ask(t *testing.T, set *upstream.Set, name string) error {
	t.Helper()
	m, err := set.Exchange(t.Context(), query(name), 0)
	if err == nil && (len(m.Answer) != 1 || m.Answer[0].(*dns.TXT).Txt[0] != name) {
		t.Errorf("%s: got %v", name, m)
	}
	return err
}

// TestProof: who does not prove to be the upstream is not asked.
func TestProof(t *testing.T) {
	s, other := newServer(t), newServer(t)
	for _, tt := range []struct {
		name, text, ca string
		ok             bool
	}{
		{"name", "tls://dns.example@" + s.addr, s.caFile, true},
		{"pin", "tls://" + s.addr + "#" + s.pin, "", true},
		{"one of two pins", "tls://dns.example@" + s.addr + "#" + other.pin + "," + s.pin, "", true},
		{"another name", "tls://dns2.example@" + s.addr, s.caFile, false},
		{"another authority", "tls://dns.example@" + s.addr, other.caFile, false},
		{"another pin", "tls://" + s.addr + "#" + other.pin, s.caFile, false},
		{"no authority", "tls://dns.example@" + s.addr, filepath.Join(t.TempDir(), "none"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(s.seen)
			err := ask(t, newSet(t, tt.ca, tt.text), "x.")
			if (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if !tt.ok && len(s.seen) != before {
				t.Error("it was asked")
			}
		})
	}
}

// TestPlainServer: to one who speaks no TLS nothing is said.
func TestPlainServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	got := make(chan []byte, 4)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				close(got)
				return
			}
			buf := make([]byte, 4096)
			n, _ := conn.Read(buf)
			got <- buf[:n]
			conn.Close()
		}
	}()
	if err := ask(t, newSet(t, "", "tls://"+ln.Addr().String()+"#"+strings.Repeat("A", 43)+"="), "secretname."); err == nil {
		t.Error("there was an answer")
	}
	ln.Close()
	for b := range got {
		if strings.Contains(string(b), "secretname") {
			t.Errorf("it was told the name: %q", b)
		}
	}
}

// TestPipeline: many questions share a connection and are answered out of order;
// all have the same length.
func TestPipeline(t *testing.T) {
	s := newServer(t)
	gate := make(chan struct{})
	s.reply = func(q *dns.Msg) *dns.Msg {
		if q.Question[0].Name == "slow." {
			<-gate
		}
		return echo(q)
	}
	set := newSet(t, "", "tls://"+s.addr+"#"+s.pin)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := ask(t, set, "slow."); err != nil {
			t.Errorf("the slow one: %v", err)
		}
	})
	for i := range 40 {
		wg.Go(func() {
			if err := ask(t, set, strings.Repeat("n", i+1)+"."); err != nil {
				t.Error(err)
			}
			if i == 39 {
				close(gate)
			}
		})
	}
	wg.Wait()
	if n := s.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	for _, q := range s.seen {
		if n := q.Len(); n%128 != 0 {
			t.Errorf("a question of %d octets", n)
		}
	}
}

// TestHangUp: a connection that was closed is opened again, for the question
// that finds it so.
func TestHangUp(t *testing.T) {
	s := newServer(t)
	set := newSet(t, "", "tls://"+s.addr+"#"+s.pin)
	for range 3 {
		if err := ask(t, set, "x."); err != nil {
			t.Fatal(err)
		}
		s.hangUp()
	}
	if n := s.conns.Load(); n != 3 {
		t.Errorf("%d connections", n)
	}
	set.Close()
	if err := ask(t, set, "x."); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

// TestFull: a second connection takes what is too much for the first, which then
// does not wait for more questions.
func TestFull(t *testing.T) {
	s := newServer(t)
	gate := make(chan struct{})
	s.reply = func(q *dns.Msg) *dns.Msg {
		<-gate
		return echo(q)
	}
	set := newSet(t, "", "tls://"+s.addr+"#"+s.pin)
	const n = 600
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := ask(t, set, "x."); err != nil {
				t.Error(err)
			}
		})
	}
	for begin := time.Now(); time.Since(begin) < time.Second; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		all := len(s.seen) == n
		s.mu.Unlock()
		if all {
			break
		}
	}
	close(gate)
	wg.Wait()
	if n := s.conns.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
	begin := time.Now()
	set.Close()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("to close took %v", took)
	}
}

// TestStray: an answer to another question is not taken for one's own.
func TestStray(t *testing.T) {
	s := newServer(t)
	s.reply = func(q *dns.Msg) *dns.Msg {
		r := echo(q)
		r.Question = []dns.Question{{Name: "y.", Qtype: dns.TypeTXT, Qclass: dns.ClassINET}}
		return r
	}
	other := newServer(t)
	set := newSet(t, "", "tls://"+s.addr+"#"+s.pin, "tls://"+other.addr+"#"+other.pin)
	if err := ask(t, set, "x."); err != nil {
		t.Error(err)
	}
}

// TestAskedLast: an upstream that fails again and again is asked last, and the
// others at once.
func TestAskedLast(t *testing.T) {
	failing, good := newServer(t), newServer(t)
	set := newSet(t, "", "tls://"+failing.addr+"#"+good.pin, "tls://"+good.addr+"#"+good.pin) // It has not that key.
	const asked = 40
	for range asked {
		if err := ask(t, set, "x."); err != nil {
			t.Fatal(err)
		}
	}
	// Three times at once; after a while it has another chance.
	if n := failing.conns.Load(); n < 3 || n > asked/2 {
		t.Errorf("it was tried for %d of %d questions", n, asked)
	}
}

// TestErrorCode: who answers with an error is not asked again.
func TestErrorCode(t *testing.T) {
	away := newServer(t)
	away.reply = func(q *dns.Msg) *dns.Msg { return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure) }
	set := newSet(t, "", "tls://"+away.addr+"#"+away.pin)
	if err := ask(t, set, "x."); !errors.Is(err, upstream.ErrCode) || strings.Contains(err.Error(), "x.") {
		t.Errorf("SERVFAIL: %v", err)
	}
	if n := len(away.seen); n != 1 {
		t.Errorf("who says SERVFAIL was asked %d times", n)
	}
	if err := ask(t, newSet(t, ""), "x."); !errors.Is(err, upstream.ErrNone) {
		t.Errorf("without upstreams: %v", err)
	}
}

// TestLog: what is logged of a failing upstream has no name that was asked for.
func TestLog(t *testing.T) {
	var text strings.Builder
	a, err := upstream.Parse("tls://127.0.0.1:1#" + strings.Repeat("A", 43) + "=")
	if err != nil {
		t.Fatal(err)
	}
	set := upstream.New([]upstream.Address{a}, "", slog.New(slog.NewTextHandler(&text, nil)))
	defer set.Close()
	for range 3 {
		_, err = set.Exchange(t.Context(), query("canary.example."), 0)
	}
	if err == nil || strings.Contains(err.Error(), "canary") || strings.Contains(text.String(), "canary") || strings.Count(text.String(), "does not answer") != 1 {
		t.Errorf("error %v, log:\n%s", err, text.String())
	}
}
