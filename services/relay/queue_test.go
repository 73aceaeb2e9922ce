package relay_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/services/protocol/record"
	"leap.example/services/relay"
)

// TestGreylisting: a server that wants to be asked again later.
func TestGreylisting(t *testing.T) {
	t.Parallel()
	s := start(t)
	var asked atomic.Int32
	s.world.set(func(w *sink) {
		w.rcpt = func(string) string {
			if asked.Add(1) < 3 {
				return "451 4.7.1 come back"
			}
			return "250 ok"
		}
	})
	s.ask("carol@dest.example")
	s.world.wait(1)
	s.empty()
	if n := len(s.world.deliveries()); n != 1 || len(s.mx.deliveries()) != 0 {
		t.Errorf("%d deliveries and %d notifications, want 1 and 0", n, len(s.mx.deliveries()))
	}
}

// TestMixedAnswers: of four recipients of one domain one is refused for good,
// one waits, two are taken at once, and each happens once.
func TestMixedAnswers(t *testing.T) {
	t.Parallel()
	s := start(t)
	var waited atomic.Bool
	s.world.set(func(w *sink) {
		w.rcpt = func(to string) string {
			switch {
			case strings.HasPrefix(to, "gone@"):
				return "550 5.1.1 no such user\tén"
			case strings.HasPrefix(to, "slow@") && !waited.Swap(true):
				return "452 full"
			}
			return "250 ok"
		}
	})
	s.ask("carol@dest.example", "gone@dest.example", "slow@dest.example", "dave@dest.example")
	got := s.world.wait(2)
	s.empty()
	if fmt.Sprint(got[0].to, got[1].to) != "[carol@dest.example dave@dest.example] [slow@dest.example]" {
		t.Errorf("taken for %v and %v", got[0].to, got[1].to)
	}
	s.report("Final-Recipient: rfc822; gone@dest.example\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mail.dest.example\r\n"+
		"Diagnostic-Code: smtp; 550 5.1.1 no such user ?n\r\n", "  gone@dest.example\r\n    550 5.1.1 no such user ?n")
	if strings.Contains(s.mx.deliveries()[0].raw, "slow@") {
		t.Error("the notification names who got it")
	}
}

// TestRefusedThenBack: nobody listens; a while later somebody does. The relay
// is killed in between, and another one takes over.
func TestRefusedThenBack(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.ask("carol@refused.example")
	s.rowsWhen("two attempts", func(rows []record.OutboundRow) bool {
		return len(rows) == 1 && rows[0].Attempts >= 2 && rows[0].LeaseOwner == ""
	})
	s.stop()
	row := s.queue.Rows()[0]
	if !row.NextAttempt.After(row.CreatedAt) || row.LastResult != "0 4.4.1" {
		t.Errorf("row %+v", row)
	}
	_, port, _ := net.SplitHostPort(s.world.addr)
	back := newSink(t, "127.0.0.8:"+port, nil)
	s.run()
	back.wait(1)
	s.empty()
}

// TestBackup: the better host does not answer, or will not talk, the other does.
func TestBackup(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, port, _ := net.SplitHostPort(s.world.addr)
	backup := newSink(t, "127.0.0.9:"+port, nil)
	s.world.set(func(w *sink) { w.greeting = "554 not today" })
	s.ask("carol@dest.example")
	backup.wait(1)
	s.empty()
}

// TestOwnServer: mail for the provider itself does not go where TLS does not
// prove that it is the MX.
func TestOwnServer(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T, *relay.Config){
		"no TLS":     func(t *testing.T, c *relay.Config) { c.MX.Address = newSink(t, "", nil).addr },
		"wrong name": func(_ *testing.T, c *relay.Config) { c.MX.Name = "other.example.org" },
	} {
		s := start(t, func(c *relay.Config) { change(t, c) })
		s.ask("bob@example.org")
		s.rowsWhen(name, func(rows []record.OutboundRow) bool {
			return len(rows) == 1 && rows[0].Attempts >= 2 && rows[0].LeaseOwner == ""
		})
		if n := len(s.mx.deliveries()); n != 0 {
			t.Errorf("%s: delivered", name)
		}
	}
}

// TestTLSFallback: a stranger's broken TLS does not keep mail back.
func TestTLSFallback(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, port, _ := net.SplitHostPort(s.world.addr)
	broken := theOffice().server
	broken.Certificate = nil
	odd := newSink(t, "127.0.0.8:"+port, &broken)
	s.ask("carol@refused.example")
	if d := odd.wait(1)[0]; d.tls {
		t.Error("TLS without a certificate")
	}
	s.empty()
}

func TestSmarthost(t *testing.T) {
	t.Parallel()
	var host *sink
	s := start(t, func(c *relay.Config) {
		host = newSink(t, "", nil)
		c.Smarthost.Address = host.addr
	})
	s.ask("carol@dest.example", "x@nowhere.example", "bob@example.org")
	host.wait(2)
	s.mx.wait(1)
	s.empty()
}

// TestTakenIsRecorded: the database fails in the moment in which a server takes
// a message. When it is back the message is not sent again.
func TestTakenIsRecorded(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.world.set(func(w *sink) {
		w.data = func() string {
			s.queue.Set(errors.New("no quorum"))
			time.AfterFunc(300*time.Millisecond, func() { s.queue.Set(nil) })
			return "250 ok"
		}
	})
	s.ask("carol@dest.example")
	s.world.wait(1)
	s.empty()
	if n := len(s.world.deliveries()); n != 1 {
		t.Errorf("%d deliveries, want 1", n)
	}
}

// TestStopInTheMiddle: the relay is told to stop while a server thinks about a
// message. It waits for the answer and records it.
func TestStopInTheMiddle(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.world.hold = make(chan bool)
	s.ask("carol@dest.example")
	s.rowsWhen("leased", func(rows []record.OutboundRow) bool { return len(rows) == 1 && rows[0].LeaseOwner != "" })
	stopped := make(chan bool)
	go func() { s.stop(); close(stopped) }()
	s.world.hold <- true
	<-stopped
	s.empty()
	s.world.wait(1)
}

// TestLostAnswer: the server takes the message and its answer is lost. That is
// one delivery more, and not two.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	s := start(t)
	var once atomic.Bool
	s.world.set(func(w *sink) {
		w.data = func() string {
			if once.Swap(true) {
				return "250 ok"
			}
			return "" // Hangs up.
		}
	})
	s.ask("carol@dest.example")
	s.world.wait(2)
	s.empty()
}

// TestTwoRelays share a queue, one of them is killed and comes back: every
// message arrives once.
func TestTwoRelays(t *testing.T) {
	t.Parallel()
	const n = 40
	s := start(t)
	s.stop()
	other := *s
	s.run()
	other.run()
	for i := range n {
		at := s
		if i%2 == 1 {
			at = &other
		}
		at.submit(mail(fmt.Sprintf("m%d", i), "x"), "carol@dest.example")
		if i == n/2 {
			other.stop()
			other.run()
		}
	}
	got := s.world.wait(n)
	s.empty()
	seen := map[string]bool{}
	for _, d := range got {
		_, subject, _ := strings.Cut(d.raw, "Subject: ")
		subject, _, _ = strings.Cut(subject, "\r\n")
		if seen[subject] {
			t.Errorf("%s arrived twice", subject)
		}
		seen[subject] = true
	}
}

// TestForeignKey: rows that another key has sealed stay where they are.
func TestForeignKey(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *relay.Config) { c.Resolver = "127.0.0.1:1" })
	s.ask("carol@dest.example")
	s.stop()
	old := s.cfg.QueueKeyFile
	s.cfg.QueueKeyFile = s.file("other", []byte(strings.Repeat("ab", 32)))
	s.queue.Hurry()
	s.run()
	s.rowsWhen("put off", func(rows []record.OutboundRow) bool { return rows[0].NextAttempt.After(time.Now()) })
	s.stop()
	s.cfg.QueueKeyFile, s.cfg.Resolver = old, serveDNS(t, world()...)
	s.queue.Hurry()
	s.run()
	s.world.wait(1)
	s.empty()
}
