package relay_test

import (
	"bytes"
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
