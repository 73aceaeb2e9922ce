package relay_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"leap.example/services/relay"
	"leap.example/services/relay/storetest"
)

func TestOutbound(t *testing.T) {
	storetest.Test(t, func(*testing.T) relay.Outbound { return storetest.NewOutbound() })
}

// code returns the reply that an error of the SMTP library carries.
func code(err error) string {
	if e, ok := errors.AsType[*smtp.SMTPError](err); ok {
		return fmt.Sprintf("%d %d.%d.%d", e.Code, e.EnhancedCode[0], e.EnhancedCode[1], e.EnhancedCode[2])
	}
	return fmt.Sprint(err)
}

func TestSubmission(t *testing.T) {
	s := start(t)
	byCert := s.client()
	external, err := smtp.DialStartTLS(s.starttls, s.tlsConfig(s.office.alice))
	if err != nil {
		t.Fatal(err)
	}
	defer external.Close()
	if err := external.Auth(sasl.NewExternalClient("")); err != nil {
		t.Errorf("EXTERNAL: %v", err)
	}
	ways := map[string]*smtp.Client{"certificate": byCert, "EXTERNAL": external}
	for _, name := range []string{"alice@example.org", "al@example.org", alice} {
		c, err := s.withToken(name, aliceToken)
		if err != nil {
			t.Errorf("token of %s: %v", name, err)
		}
		ways["token of "+name] = c
	}
	n := 0
	for way, c := range ways {
		text := "Received: from laptop-canary\r\nUser-Agent: agent-canary\r\nX-Mailer: mailer-canary\r\nX-Originating-IP: [192.0.2.1]\r\n" +
			"Bcc: bcc-canary@dest.example\r\nX-Leap-Signature: valid\r\n" + mail("one", "..two\r\n.\r\nend")
		if err := c.SendMail("alice+x@example.org", []string{"carol@Dest.Example", "dave@dest.example", "bob@example.org"}, strings.NewReader(text)); err != nil {
			t.Errorf("%s: %v", way, err)
			continue
		}
		n++
		d := s.world.wait(n)[n-1]
		if d.helo != "smtp.example.org" || d.from != "alice+x@example.org" || fmt.Sprint(d.to) != "[carol@dest.example dave@dest.example]" || d.tls {
			t.Errorf("%s: envelope %+v", way, d)
		}
		own := s.mx.wait(n)[n-1]
		if fmt.Sprint(own.to) != "[bob@example.org]" || !own.tls || own.text() != d.text() {
			t.Errorf("%s: the MX got %+v", way, own)
		}
		if !strings.HasSuffix(d.text(), "\r\nSubject: one\r\n\r\n..two\r\n.\r\nend\r\n") || strings.Contains(d.raw, "canary") || strings.Contains(d.raw, "127.0.0.1") {
			t.Errorf("%s: message\n%s", way, d.raw)
		}
		for _, field := range []string{"DKIM-Signature", "Received", "Date", "Message-ID", "From"} {
			want := map[string]int{"DKIM-Signature": 2}[field]
			if got := strings.Count("\r\n"+d.raw, "\r\n"+field+":"); got != max(1, want) {
				t.Errorf("%s: %d fields %s", way, got, field)
			}
		}
	}
	s.empty()
	if log := s.log.String(); strings.Contains(log, "example.org") || strings.Contains(log, "dest.example") || strings.Contains(log, "127.0.0.1") || strings.Contains(log, "canary") {
		t.Errorf("log:\n%s", log)
	}
}

func TestSignatures(t *testing.T) {
	s := start(t)
	s.submit(mail("signed", strings.Repeat("text  \r\n", 50)+"\r\n\r\n"), "carol@dest.example")
	raw := s.world.wait(1)[0].text()
	resolver := net.Resolver{PreferGo: true, Dial: dialTo(s.cfg.Resolver)}
	check := func(raw string) (good []string) {
		list, err := dkim.VerifyWithOptions(strings.NewReader(raw), &dkim.VerifyOptions{
			LookupTXT: func(name string) ([]string, error) { return resolver.LookupTXT(t.Context(), name+".") },
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range list {
			if v.Err == nil && v.Domain == "example.org" && time.Until(v.Expiration) > 6*24*time.Hour {
				good = append(good, v.Domain)
			}
		}
		return good
	}
	if n := len(check(raw)); n != 2 {
		t.Errorf("%d signatures are good, want 2:\n%s", n, raw)
	}
	for name, forged := range map[string]string{
		"subject":     strings.Replace(raw, "Subject: signed", "Subject: other", 1),
		"second From": strings.Replace(raw, "Subject:", "From: x@example.org\r\nSubject:", 1),
		"body":        raw + "more\r\n",
	} {
		if n := len(check(forged)); n != 0 {
			t.Errorf("another %s: %d signatures are good", name, n)
		}
	}
}

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

func TestLimits(t *testing.T) {
	s := start(t, func(c *relay.Config) { c.MessagesPerMinute, c.Burst, c.Recipients, c.MaxSize = 1, 4, 3, 20_000 })
	c := s.client()
	if err := c.Mail("alice@example.org", nil); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"<nil>", "<nil>", "<nil>", "452 4.5.3"} {
		if err := c.Rcpt(fmt.Sprintf("r%d@dest.example", i), nil); code(err) != want {
			t.Errorf("recipient %d: %s, want %s", i, code(err), want)
		}
	}
	c.Reset()
	for to, want := range map[string]string{"x@[127.0.0.1]": "553 5.1.3", "x@y..z": "553 5.1.3", "x@-y.example": "553 5.1.3"} {
		if c.Mail("alice@example.org", nil) == nil {
			if err := c.Rcpt(to, nil); code(err) != want {
				t.Errorf("to %s: %s, want %s", to, code(err), want)
			}
		}
		c.Reset()
	}
	if err := c.Mail("alice@example.org", nil); code(err) != "451 4.7.1" {
		t.Errorf("the fifth message: %s, want 451 4.7.1", code(err))
	}
	bobs, err := s.withToken("bob@example.org", "token-of-bob")
	if err != nil {
		t.Fatal(err)
	}
	large := strings.Replace(mail("large", strings.Repeat("0123456789\r\n", 2000)), "alice@", "bob@", 1)
	if err := bobs.SendMail("bob@example.org", []string{"carol@dest.example"}, strings.NewReader(large)); code(err) != "552 5.3.4" {
		t.Errorf("a large message of another user: %s, want 552 5.3.4", code(err))
	}
}

// TestNothingInClear looks for words in the queue and on the disk.
func TestNothingInClear(t *testing.T) {
	s := start(t, func(c *relay.Config) { c.Resolver = "127.0.0.1:1" })
	s.submit(mail("subject-canary", strings.Repeat("body-canary\r\n", 100_000)), "carol-canary@dest.example")
	var all bytes.Buffer
	for _, m := range s.queue.Messages() {
		all.WriteString(m.ID)
		all.Write(m.Sealed)
	}
	for _, r := range s.queue.Rows() {
		fmt.Fprintf(&all, "%+v", r)
	}
	files, err := filepath.Glob(s.dir + "/*")
	if err != nil || all.Len() < 1_000_000 {
		t.Fatalf("%d octets queued, %v", all.Len(), err)
	}
	for _, f := range files {
		all.Write(must(os.ReadFile(f)))
	}
	all.WriteString(s.log.String())
	for _, word := range []string{"canary", "alice", "example.org\"", "dest.example"} {
		if bytes.Contains(all.Bytes(), []byte(word)) {
			t.Errorf("%q is there in clear", word)
		}
	}
}

func TestDatabaseDown(t *testing.T) {
	s := start(t)
	s.queue.Set(errors.New("no quorum"))
	c := s.client()
	send := func() error {
		return c.SendMail("alice@example.org", []string{"carol@dest.example"}, strings.NewReader(mail("x", "y")))
	}
	if err := send(); code(err) != "451 4.3.0" {
		t.Errorf("database away: %s, want 451 4.3.0", code(err))
	}
	s.queue.Set(nil)
	if err := send(); err != nil {
		t.Error(err)
	}
	s.world.wait(1)
	s.empty()
}

func TestConfig(t *testing.T) {
	good := start(t).cfg
	for name, change := range map[string]func(*relay.Config){
		"no listener": func(c *relay.Config) { c.ListenTLS, c.ListenSTARTTLS = "", "" },
		"no key":      func(c *relay.Config) { c.QueueKeyFile = "" },
		"domain":      func(c *relay.Config) { c.Domains = []string{"a b"} },
		"selector":    func(c *relay.Config) { c.DKIM = []relay.ConfigDKIM{{KeyFile: "x"}} },
		"mx":          func(c *relay.Config) { c.MX.Address = "host" },
		"retry":       func(c *relay.Config) { c.Retry = []string{"0s"} },
		"life":        func(c *relay.Config) { c.Life = "long" },
		"limit":       func(c *relay.Config) { c.Workers = -1 },
		"memory":      func(c *relay.Config) { c.Memory = 1 },
	} {
		c := good
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, change := range map[string]func(*relay.Config){
		"queue key":   func(c *relay.Config) { c.QueueKeyFile = c.KeyFile },
		"certificate": func(c *relay.Config) { c.CertFile = c.KeyFile },
		"client CA":   func(c *relay.Config) { c.ClientCAFile = c.KeyFile },
		"MX's CA":     func(c *relay.Config) { c.MX.CAFile = "/nonexistent" },
		"DKIM":        func(c *relay.Config) { c.DKIM = []relay.ConfigDKIM{{Selector: "x", KeyFile: c.KeyFile}} },
	} {
		c := good
		change(&c)
		srv := must(relay.New(c, nil, nil, storetest.NewOutbound(), nil))
		if err := srv.Serve(t.Context(), must(net.Listen("tcp", "127.0.0.1:0")), nil); err == nil {
			t.Errorf("%s: serving went well", name)
		}
	}
}

func TestCheck(t *testing.T) {
	s := start(t)
	srv := must(relay.New(s.cfg, nil, nil, s.queue, nil))
	if err := srv.Check(t.Context()); err != nil {
		t.Errorf("well: %v", err)
	}
	s.queue.Set(errors.New("away"))
	if srv.Check(t.Context()) == nil {
		t.Error("the database is away: no error")
	}
	s.queue.Set(nil)
}
