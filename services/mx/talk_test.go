package mx_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"
)

// A talk is a dialog over a raw connection.
type talk struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

func (s *site) dial() *talk {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return &talk{s.t, c, bufio.NewReader(c)}
}

func (d *talk) send(text string) {
	d.c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := d.c.Write([]byte(text)); err != nil {
		d.t.Logf("sending: %v", err) // The reply tells.
	}
}

// reply reads one reply and returns its last line, or the error as text.
func (d *talk) reply() string {
	d.c.SetDeadline(time.Now().Add(20 * time.Second))
	for {
		line, err := d.r.ReadString('\n')
		if err != nil {
			return "error: " + err.Error()
		}
		if len(line) > 3 && line[3] == ' ' {
			return strings.TrimSpace(line)
		}
	}
}

// say sends a line and wants a reply that begins with want.
func (d *talk) say(line, want string) {
	d.t.Helper()
	if line != "" {
		d.send(line + "\r\n")
	}
	if got := d.reply(); !strings.HasPrefix(got, want) {
		d.t.Errorf("%.60q: got %q, want %s", line, got, want)
	}
}

// startTLS turns to TLS.
func (d *talk) startTLS(roots *x509.CertPool) *tls.Conn {
	d.t.Helper()
	d.say("STARTTLS", "220")
	c := tls.Client(d.c, &tls.Config{RootCAs: roots, ServerName: "mx.example.org"})
	if err := c.Handshake(); err != nil {
		d.t.Fatal(err)
	}
	d.c, d.r = c, bufio.NewReader(c)
	return c
}

// mail returns a message with a Message-ID.
func mail(id, body string) string {
	return "From: Carol <carol@example.net>\r\nTo: alice@example.org\r\nSubject: subject-canary\r\nDate: " +
		time.Now().Format(time.RFC1123Z) + "\r\nMessage-ID: <" + id + "@example.net>\r\n\r\n" + body + "\r\n"
}

// transfer sends one message by DATA and returns the reply to it.
func (s *site) transfer(msg string, to ...string) string {
	s.t.Helper()
	d := s.dial()
	defer d.c.Close()
	d.say("", "220")
	d.say("EHLO peer.example.net", "250")
	d.say("MAIL FROM:<carol@example.net>", "250")
	for _, r := range to {
		d.say("RCPT TO:<"+r+">", "250")
	}
	d.say("DATA", "354")
	d.send(strings.ReplaceAll(msg, "\r\n.", "\r\n..") + ".\r\n")
	return d.reply()
}
