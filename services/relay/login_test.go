package relay_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"leap.example/services/relay"
)

func TestWho(t *testing.T) {
	s := start(t)
	for name, tt := range map[string]struct {
		name, token, want string
	}{
		"wrong token":         {"alice@example.org", "x", "535 5.7.8"},
		"another's address":   {"bob@example.org", aliceToken, "535 5.7.8"},
		"another's id":        {bob, aliceToken, "535 5.7.8"},
		"disabled address":    {"off@example.org", aliceToken, "535 5.7.8"},
		"unknown address":     {"nobody@example.org", aliceToken, "535 5.7.8"},
		"no address, no id":   {"alice", aliceToken, "535 5.7.8"},
		"everything in place": {"alice@example.org", aliceToken, "<nil>"},
	} {
		if _, err := s.withToken(tt.name, tt.token); code(err) != tt.want {
			t.Errorf("%s: %s, want %s", name, code(err), tt.want)
		}
	}
	for name, certs := range map[string][]tls.Certificate{
		"not remembered": {s.office.aliceNew}, "past its date": {s.office.aliceOld}, "of a server": {s.office.server},
	} {
		c, err := smtp.DialTLS(s.tls, s.tlsConfig(certs...))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Mail("alice@example.org", nil); code(err) != "535 5.7.8" {
			t.Errorf("certificate %s: %s, want 535 5.7.8", name, code(err))
		}
		if err := c.Auth(sasl.NewExternalClient("")); code(err) != "535 5.7.8" {
			t.Errorf("certificate %s, EXTERNAL: %s, want 535 5.7.8", name, code(err))
		}
		c.Close()
	}
	c, err := smtp.DialTLS(s.tls, s.tlsConfig(s.office.alice))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Auth(sasl.NewExternalClient("bob@example.org")); code(err) != "535 5.7.8" {
		t.Errorf("EXTERNAL as bob: %s, want 535 5.7.8", code(err))
	}
	c, err = smtp.DialTLS(s.tls, s.tlsConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail("alice@example.org", nil); code(err) != "530 5.7.0" {
		t.Errorf("nobody: %s, want 530 5.7.0", code(err))
	}
	c, err = smtp.Dial(s.starttls)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if ok, _ := c.Extension("AUTH"); ok {
		t.Error("AUTH is offered in clear text")
	}
	if err := c.Mail("alice@example.org", nil); code(err) != "530 5.7.0" {
		t.Errorf("in clear text: %s, want 530 5.7.0", code(err))
	}
	if _, err := smtp.DialTLS(s.tls, &tls.Config{RootCAs: s.roots, ServerName: "smtp.example.org", MaxVersion: tls.VersionTLS11}); err == nil {
		c.Close()
	}
	if len(s.queue.Rows()) > 0 {
		t.Error("something was queued")
	}
}

func TestGuessing(t *testing.T) {
	s := start(t, func(c *relay.Config) { c.LoginFailures = 5 })
	c, err := s.withToken("alice@example.org", "guess")
	for i := range 2 {
		if code(err) != "535 5.7.8" {
			t.Errorf("guess %d: %s, want 535 5.7.8", i, code(err))
		}
		err = c.Auth(sasl.NewPlainClient("", "alice@example.org", "guess"))
	}
	if err := c.Noop(); err == nil {
		t.Error("after three guesses the connection goes on")
	}
	for range 2 {
		s.withToken("alice@example.org", "guess") // Fails; five by now.
	}
	if _, err := s.withToken("alice@example.org", aliceToken); code(err) != "454 4.7.0" {
		t.Errorf("after five guesses: %s, want 454 4.7.0", code(err))
	}
}

func TestOwnership(t *testing.T) {
	s := start(t)
	c := s.client()
	for from, want := range map[string]string{
		"alice@example.org": "<nil>", "ALICE@example.org": "<nil>", "alice+list@example.org": "<nil>", "al@example.org": "<nil>",
		"bob@example.org": "553 5.7.1", "off@example.org": "553 5.7.1", "alice@example.net": "553 5.7.1",
		"nobody@example.org": "553 5.7.1", "": "553 5.7.1",
	} {
		if err := c.Mail(from, nil); code(err) != want {
			t.Errorf("MAIL FROM:<%s>: %s, want %s", from, code(err), want)
		}
		c.Reset()
	}
	for head, want := range map[string]string{
		"From: al@example.org\r\n":                                        "<nil>",
		"From: al@example.org\r\nSender: alice@example.org\r\n":           "<nil>",
		"From: bob@example.org\r\n":                                       "553 5.7.1",
		"From: ceo@big.example\r\n":                                       "553 5.7.1",
		"From: al@example.org\r\nSender: bob@example.org\r\n":             "553 5.7.1",
		"From: al@example.org, bob@example.org\r\n":                       "550 5.6.0",
		"From: al@example.org\r\nFrom: bob@example.org\r\n":               "550 5.6.0",
		"Subject: nobody\r\n":                                             "550 5.6.0",
		"From: al@example.org\r\nX: " + strings.Repeat("x", 995) + "\r\n": "<nil>",
		"From: al@example.org\r\nX: " + strings.Repeat("x", 996) + "\r\n": "550 5.6.0",
	} {
		err := c.SendMail("alice@example.org", []string{"bob@example.org"}, strings.NewReader(head+"\r\ntext\r\n"))
		if code(err) != want {
			t.Errorf("%.60q: %s, want %s", head, code(err), want)
		}
	}
}
