package relay_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"leap.example/services/protocol/record"
	"leap.example/services/relay"
)

// report wants one notification at the MX, for alice, that has the words.
func (s *site) report(words ...string) {
	s.t.Helper()
	d := s.mx.wait(1)[0]
	if d.from != "" || fmt.Sprint(d.to) != "[alice@example.org]" {
		s.t.Errorf("notification from %q to %v", d.from, d.to)
	}
	words = append(words, "From: Mail delivery <postmaster@example.org>", "report-type=delivery-status", "Auto-Submitted: auto-replied",
		"Reporting-MTA: dns; smtp.example.org", "DKIM-Signature: ", "\r\nSubject: question\r\n")
	for _, w := range words {
		if !strings.Contains(d.raw, w) {
			s.t.Errorf("%q is not in the notification:\n%s", w, d.raw)
		}
	}
	if strings.Contains(d.raw, "body-canary") {
		s.t.Errorf("the notification has the text:\n%s", d.raw)
	}
}

func (s *site) ask(to ...string) { s.submit(mail("question", "body-canary"), to...) }

func TestLifeEnds(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *relay.Config) { c.Life, c.Retry = "1s", []string{"400ms"} })
	s.world.set(func(w *sink) { w.rcpt = func(string) string { return "450 4.2.1 busy" } })
	s.ask("carol@dest.example")
	s.mx.wait(1)
	s.empty()
	s.report("Action: failed", "Status: 4.2.1", "No more attempts")
}

func TestLate(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *relay.Config) { c.Retry = []string{"20ms"} })
	s.world.set(func(w *sink) { w.rcpt = func(string) string { return "450 4.2.1 busy" } })
	s.ask("carol@dest.example")
	s.mx.wait(1)
	s.report("Action: delayed", "Will-Retry-Until: ", "Status: 4.2.1")
	s.rowsWhen("attempts go on", func(rows []record.OutboundRow) bool {
		return slices.ContainsFunc(rows, func(r record.OutboundRow) bool { return r.Attempts > 8 })
	})
	s.world.set(func(w *sink) { w.rcpt = nil })
	s.world.wait(1)
	s.empty()
	if n := len(s.mx.deliveries()); n != 1 {
		t.Errorf("%d notifications, want 1", n)
	}
}

func TestDeadDomains(t *testing.T) {
	t.Parallel()
	for to, status := range map[string]string{
		"x@nomail.example": "5.1.10", "x@nowhere.example": "5.1.2", "x@loop.example": "5.4.6",
	} {
		s := start(t)
		s.ask(to)
		s.mx.wait(1)
		s.empty()
		s.report("Status: "+status+"\r\n", "Final-Recipient: rfc822; "+to)
	}
	s := start(t, func(c *relay.Config) { c.AllowPrivate = false })
	s.ask("carol@dest.example")
	s.mx.wait(1)
	s.report("Status: 5.4.4\r\n")
	if n := len(s.world.deliveries()); n != 0 {
		t.Error("mail went to a private network")
	}
	s = start(t)
	s.ask("x@a.broken") // Its name server fails: not dead.
	s.rowsWhen("attempts go on", func(rows []record.OutboundRow) bool { return len(rows) == 1 && rows[0].Attempts >= 2 })
	if n := len(s.mx.deliveries()); n != 0 {
		t.Errorf("%d notifications, want 0", n)
	}
}

// TestNullSender: a notification that is refused is the end of it.
func TestNullSender(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.mx.set(func(w *sink) { w.rcpt = func(string) string { return "550 5.1.1 moved away" } })
	s.ask("x@nowhere.example")
	s.rowsWhen("nothing", func(rows []record.OutboundRow) bool { return len(rows) == 0 })
	s.empty()
	if n := len(s.mx.deliveries()); n != 0 {
		t.Errorf("%d deliveries, want 0", n)
	}
}

func TestBeyondASCII(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.client()
	if err := c.SendMail("alice@example.org", []string{"jürgen@münchen.example", `"a b\"c"@dest.example`}, strings.NewReader(mail("question", "x"))); err != nil {
		t.Fatal(err)
	}
	got := s.world.wait(2)
	to := []string{fmt.Sprint(got[0].to), fmt.Sprint(got[1].to)}
	slices.Sort(to)
	if to[0] != `["a b\"c"@dest.example]` || to[1] != "[jürgen@xn--mnchen-3ya.example]" {
		t.Errorf("taken for %q", to)
	}
	s.world.set(func(w *sink) { w.old = true })
	if err := c.SendMail("alice@example.org", []string{"jürgen@münchen.example"}, strings.NewReader(mail("question", "x"))); err != nil {
		t.Fatal(err)
	}
	s.report("Status: 5.6.7", `Final-Recipient: utf-8; j\x{FC}rgen@xn--mnchen-3ya.example`)
	s.empty()
}
