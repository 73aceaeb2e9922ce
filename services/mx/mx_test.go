package mx_test

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"leap.example/services/mx"
	"leap.example/services/mx/storetest"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

func TestQueue(t *testing.T) {
	storetest.Test(t, func(*testing.T) (mx.Queue, func(string) []record.Incoming) {
		q := storetest.NewQueue()
		q.SetUser("22222222222222222222222222222222", problem.NotExist)
		return q, q.Entries
	})
}

func TestDelivery(t *testing.T) {
	s := start(t)
	d := s.dial()
	d.say("", "220 mx.example.org")
	d.say("EHLO peer.example.net", "250")
	d.startTLS(s.roots)
	d.say("EHLO peer.example.net", "250")
	d.say("MAIL FROM:<carol@example.net> SIZE=1000", "250")
	d.say("RCPT TO:<Alice+list@Example.ORG>", "250")
	d.say("RCPT TO:<bob@example.org>", "250")
	d.say("RCPT TO:<robert@example.org>", "250")
	d.say("DATA", "354")
	msg := mail("1", "body-canary\r\n.dot\r\nend")
	d.send(strings.ReplaceAll(msg, "\r\n.", "\r\n..") + ".\r\n")
	d.say("", "250 2.0.0 Taken as ")
	d.say("QUIT", "221")
	for p, to := range map[*person]string{cast().alice: "alice+list@example.org", cast().bob: "bob@example.org"} {
		got := s.letters(p)
		if len(got) != 1 {
			t.Fatalf("%s has %d letters, want 1", p.address, len(got))
		}
		h := got[0].Header
		if h.V != 1 || h.From != "carol@example.net" || h.To != to || h.RemoteIP != "127.0.0.1" ||
			h.HELO != "peer.example.net" || !strings.HasPrefix(h.TLS, "TLS1.3 TLS_") || h.SenderEncrypted ||
			h.SPF != "none" || time.Since(h.Received) > time.Minute {
			t.Errorf("%s: envelope header %+v", p.address, h)
		}
		head, rest, _ := strings.Cut(got[0].raw, "From: Carol")
		if "From: Carol"+rest != msg {
			t.Errorf("%s: the message changed: %q", p.address, got[0].raw)
		}
		want := `^Return-Path: <carol@example\.net>\r\nAuthentication-Results: mx\.example\.org;\r\n\tnone\r\n` +
			`Received: from peer\.example\.net \(\[127\.0\.0\.1\]\)\r\n\tby mx\.example\.org with ESMTPS \(TLS1\.3 TLS_[A-Z0-9_]+\)\r\n\tid [A-Z2-7]{12}; .*\r\n$`
		if !regexp.MustCompile(want).MatchString(head) {
			t.Errorf("%s: put in front:\n%s", p.address, head)
		}
	}
	e := s.queue.Entries(cast().alice.id)[0]
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{32}$`).MatchString(e.ID) || e.Received.Minute() != 0 || e.Size != int64(len(e.Body)) {
		t.Errorf("entry %s, received %s, size %d of %d", e.ID, e.Received, e.Size, len(e.Body))
	}
}

func TestRecipients(t *testing.T) {
	s := start(t)
	d := s.dial()
	d.say("", "220")
	d.say("EHLO peer", "250")
	d.say("MAIL FROM:<>", "250")
	for to, want := range map[string]string{
		"alice@example.org":      "250",
		"alice+a+b@example.org":  "250",
		"postmaster@example.org": "250",
		"robert@example.org":     "250",
		"stray@example.org":      "451 4.7.5", // Stands for another user's address.
		"nokey@example.org":      "451 4.7.5",
		"late@example.org":       "451 4.7.5",
		"nobody@example.org":     "550 5.1.1",
		"root@example.org":       "550 5.1.1",
		"off@example.org":        "550 5.1.1",
		"alice@example.com":      "550 5.7.1",
		"\"a b\"@example.org":    "550 5.1.1",
		"älice@example.org":      "550 5.1.1",
	} {
		d.say("RCPT TO:<"+to+">", want)
	}
	s.ids.Set(errors.New("connection refused: /identities/carl:example.org"))
	d.say("RCPT TO:<carl@example.org>", "451 4.3.0")
	d.say("RCPT TO:<alice@example.org>", "250") // Remembered.
	s.ids.Set(nil)
	d.say("RCPT TO:<carl@example.org>", "550 5.1.1") // The failure was not remembered.
	before := s.ids.Asked()
	d.say("RCPT TO:<carl@example.org>", "550 5.1.1")
	if s.ids.Asked() != before {
		t.Error("an answer was asked for twice within a minute")
	}
	if log := s.log.String(); strings.Contains(log, "example.org") || !strings.Contains(log, "kind=unavailable") {
		t.Errorf("log:\n%s", log)
	}
}

func TestAliasReachesAll(t *testing.T) {
	s := start(t)
	if got := s.transfer(mail("1", "x"), "postmaster@example.org", "alice@example.org"); !strings.HasPrefix(got, "250") {
		t.Fatal(got)
	}
	for _, p := range []*person{cast().alice, cast().bob} {
		if n := len(s.letters(p)); n != 1 {
			t.Errorf("%s has %d letters, want 1", p.address, n)
		}
	}
}

func TestRefusedMessages(t *testing.T) {
	s := start(t, func(c *mx.Config) { c.MaxSize, c.Memory = 600<<10, 8<<20 })
	head := "From: a@example.net\r\n"
	for _, tt := range []struct{ name, msg, want string }{
		{"no author", "Subject: x\r\n\r\nx\r\n", "550 5.6.0"},
		{"two authors", head + head + "\r\nx\r\n", "550 5.6.0"},
		{"two addresses", "From: a@example.net, b@example.net\r\n\r\nx\r\n", "550 5.6.0"},
		{"line that is no field", head + "garbage\r\n\r\nx\r\n", "550 5.6.0"},
		{"NUL", head + "\r\na\x00b\r\n", "550 5.6.0"},
		{"bare CR", head + "\r\na\rb\r\n", "550 5.6.0"},
		{"bare LF", head + "\r\na\nb\r\n", "550 5.6.0"},
		{"long line", head + "\r\n" + strings.Repeat("x", 2001) + "\r\n", "550 5.6.0"},
		{"longest line", head + "\r\n" + strings.Repeat("x", 2000) + "\r\n", "250"},
		{"very long line", head + "\r\n" + strings.Repeat("x", 50_000) + "\r\n", "550 5.6.0"},
		{"large header", head + strings.Repeat("X: "+strings.Repeat("y", 90)+"\r\n", 3000) + "\r\nx\r\n", "550 5.6.0"},
		{"loop", head + strings.Repeat("Received: from a by b\r\n", 51) + "\r\nx\r\n", "554 5.4.6"},
		{"longest way", head + strings.Repeat("Received: from a by b\r\n", 50) + "\r\nx\r\n", "250"},
		{"too large", head + "\r\n" + strings.Repeat(strings.Repeat("y", 90)+"\r\n", 7000), "552 5.3.4"},
		{"no body", head, "250"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := s.transfer(tt.msg, "alice@example.org"); !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want %s", got, tt.want)
			}
		})
	}
	d := s.dial()
	d.say("", "220")
	d.say("EHLO peer", "250")
	d.say("MAIL FROM:<a@example.net> SIZE=700000", "552 5.3.4")
	if n := len(s.letters(cast().alice)); n != 3 {
		t.Errorf("%d messages were taken, want 3", n)
	}
}

// TestDatabaseDown: mail arrives while the database is away, is sent again,
// and is there once.
func TestDatabaseDown(t *testing.T) {
	s := start(t)
	msg := mail("1", "x")
	s.queue.Set(errors.New("no quorum"))
	if got := s.transfer(msg, "alice@example.org"); !strings.HasPrefix(got, "451 4.3.0") {
		t.Errorf("database away: got %q, want 451 4.3.0", got)
	}
	s.queue.Set(nil)
	// Now only bob's is away.
	s.queue.SetUser(cast().bob.id, problem.NotExist.Errorf("no database user-1"))
	for range 3 {
		if got := s.transfer(msg, "alice@example.org", "bob@example.org"); !strings.HasPrefix(got, "451 4.3.0") {
			t.Errorf("bob's database away: got %q, want 451 4.3.0", got)
		}
	}
	if a, b := len(s.letters(cast().alice)), len(s.letters(cast().bob)); a != 1 || b != 0 {
		t.Errorf("alice has %d and bob %d, want 1 and 0", a, b)
	}
	s.queue.SetUser(cast().bob.id, nil)
	s.stop() // Another process, the same secret, and another way through the net.
	s.run()
	again := "Received: from elsewhere by carol's server\r\n" + msg
	if got := s.transfer(again, "bob@example.org", "alice@example.org"); !strings.HasPrefix(got, "250") {
		t.Errorf("got %q, want 250", got)
	}
	for _, p := range []*person{cast().alice, cast().bob} {
		if n := len(s.letters(p)); n != 1 {
			t.Errorf("%s has %d letters, want 1", p.address, n)
		}
	}
	s.queue.SetUser(cast().bob.id, problem.Limit.Errorf("quota"))
	if got := s.transfer(mail("2", "x"), "bob@example.org"); !strings.HasPrefix(got, "452 4.2.2") {
		t.Errorf("full mailbox: got %q, want 452 4.2.2", got)
	}
}

// TestAlikeIsNotTheSame: two mails that are alike arrive twice unless a
// Message-ID says that they are one.
func TestAlikeIsNotTheSame(t *testing.T) {
	s := start(t)
	bare := "From: cron@example.net\r\nSubject: disk full\r\n\r\nstill\r\n"
	for _, msg := range []string{bare, bare, mail("1", "x"), mail("2", "x"), mail("2", "x"), mail("2", "y")} {
		if got := s.transfer(msg, "alice@example.org"); !strings.HasPrefix(got, "250") {
			t.Errorf("got %q, want 250", got)
		}
	}
	if n := len(s.letters(cast().alice)); n != 5 {
		t.Errorf("alice has %d letters, want 5", n)
	}
}

// TestNothingInClear: a message that goes through the spool file leaves its
// words neither there nor in the log nor in the queue.
func TestNothingInClear(t *testing.T) {
	s := start(t, func(c *mx.Config) { c.MaxSize, c.Memory = 8<<20, 80<<20 })
	body := strings.Repeat("body-canary "+strings.Repeat("z", 70)+"\r\n", 20_000)
	seen := make(chan int)
	d := s.dial()
	d.say("", "220")
	d.say("EHLO helo-canary.example", "250")
	d.say("MAIL FROM:<carol-canary@example.net>", "250")
	d.say("RCPT TO:<alice@example.org>", "250")
	d.say("DATA", "354")
	go func() {
		clear := 0
		for range 200 {
			files, _ := os.ReadDir(s.cfg.SpoolDir)
			for _, f := range files {
				data, _ := os.ReadFile(s.cfg.SpoolDir + "/" + f.Name())
				clear += strings.Count(string(data), "canary")
			}
		}
		seen <- clear
	}()
	d.send(mail("canary", body) + ".\r\n")
	d.say("", "250")
	if n := <-seen; n > 0 {
		t.Errorf("%d words in clear in the spool", n)
	}
	got := s.letters(cast().alice)
	if len(got) != 1 || !strings.HasSuffix(got[0].raw, body+"\r\n") {
		t.Fatalf("alice has %d letters; want one with the whole body", len(got))
	}
	for _, e := range s.queue.Entries(cast().alice.id) {
		if strings.Contains(string(e.Body)+e.ID, "canary") {
			t.Error("a word is in clear in the queue")
		}
	}
	if log := s.log.String(); strings.Contains(log, "canary") || strings.Contains(log, "127.0.0.1") || strings.Contains(log, "alice") {
		t.Errorf("log:\n%s", log)
	}
}
