package relay_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A talk is a dialog over a raw TLS connection of alice's.
type talk struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

func (s *site) dial() *talk {
	s.t.Helper()
	c, err := tls.Dial("tcp", s.tls, s.tlsConfig(s.office.alice))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	d := &talk{s.t, c, bufio.NewReader(c)}
	d.say("", "220 smtp.example.org")
	d.say("EHLO laptop", "250")
	return d
}

func (d *talk) send(text string) {
	d.c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(d.c, text); err != nil {
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

func (d *talk) say(line, want string) {
	d.t.Helper()
	if line != "" {
		d.send(line + "\r\n")
	}
	if got := d.reply(); !strings.HasPrefix(got, want) {
		d.t.Errorf("%.60q: got %q, want %s", line, got, want)
	}
}

// ends are what some server takes for the end of data, RFC 5321, 4.1.1.4 has
// one alone.
var ends = []string{"\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r\n\x00.\r\n"}

// TestSmuggling submits a second message, by another author, inside the first.
// A server that takes every octet as it comes is behind the relay.
func TestSmuggling(t *testing.T) {
	s := start(t)
	for _, end := range ends {
		for _, how := range []string{"DATA", "BDAT"} {
			t.Run(fmt.Sprintf("%s %q", how, end), func(t *testing.T) {
				before := len(s.world.deliveries())
				inner := "MAIL FROM:<ceo@example.org>\r\nRCPT TO:<bob@dest.example>\r\nDATA\r\nFrom: ceo@example.org\r\n\r\nsmuggled\r\n.\r\n"
				msg := mail("1", "hello") + "last line" + end + inner
				d := s.dial()
				d.say("MAIL FROM:<alice@example.org>", "250")
				d.say("RCPT TO:<carol@dest.example>", "250")
				if how == "DATA" {
					d.say("DATA", "354")
					d.send(msg)
				} else {
					d.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(msg), msg))
				}
				got := d.reply()
				// The library drops ".\r" itself, and the dot cannot reach anybody.
				harmless := how == "DATA" && end == "\r\n.\r" && strings.HasPrefix(got, "250")
				if !strings.HasPrefix(got, "550 5.6.0") && !harmless {
					t.Errorf("got %q, want 550 5.6.0", got)
				}
				d.say("QUIT", "221")
				if harmless {
					s.world.wait(before + 1)
				}
				s.empty()
				for _, m := range s.world.deliveries()[before:] {
					if m.from != "alice@example.org" || strings.ContainsAny(strings.ReplaceAll(m.raw, "\r\n", ""), "\r\n\x00") {
						t.Errorf("went through: %+v", m)
					}
				}
			})
		}
	}
	if n := len(s.world.deliveries()); n > 1 {
		t.Errorf("%d messages came out, want 1 at most", n)
	}
}

// TestDots: whatever is in a message comes out as it went in.
func TestDots(t *testing.T) {
	s := start(t)
	body := ".\r\n..\r\n.x\r\n\r\n.\r\n\r\n...\r\n"
	for i, chunked := range []bool{false, true} {
		d := s.dial()
		d.say("MAIL FROM:<alice@example.org>", "250")
		d.say("RCPT TO:<carol@dest.example>", "250")
		msg := mail("dots", body)
		if chunked {
			d.send(fmt.Sprintf("BDAT 50\r\n%s", msg[:50]))
			d.say("", "250")
			d.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(msg)-50, msg[50:]))
		} else {
			d.say("DATA", "354")
			d.send(strings.ReplaceAll(msg, "\r\n.", "\r\n..") + ".\r\n")
		}
		d.say("", "250")
		d.say("QUIT", "221")
		if got := s.world.wait(i + 1)[i].text(); !strings.HasSuffix(got, "Subject: dots\r\n\r\n"+body+"\r\n") {
			t.Errorf("chunked %v: came out as %q", chunked, got)
		}
	}
}

// TestCutOff: a message whose client goes away in the middle of a chunk is not
// taken for a whole one.
func TestCutOff(t *testing.T) {
	for name, leave := range map[string]func(d *talk){
		"cut":     func(d *talk) { d.c.(*tls.Conn).NetConn().Close() },
		"goodbye": func(d *talk) { d.c.Close() },
	} {
		s := start(t)
		d := s.dial()
		msg := mail("1", "half\r\n")
		d.say("MAIL FROM:<alice@example.org>", "250")
		d.say("RCPT TO:<carol@dest.example>", "250")
		d.send(fmt.Sprintf("BDAT %d LAST\r\n", len(msg)+100))
		d.send(msg)
		leave(d)
		s.stop()
		if n := len(s.queue.Messages()) + len(s.world.deliveries()); n != 0 {
			t.Errorf("%s: the half message was taken", name)
		}
	}
}

// TestIdleClient: who says nothing, and who has to go because the relay stops.
func TestIdleClient(t *testing.T) {
	s := start(t)
	d := s.dial()
	stopped := make(chan bool)
	go func() { s.stop(); close(stopped) }()
	if got := d.reply(); !strings.HasPrefix(got, "error") {
		t.Errorf("got %q, want the end", got)
	}
	<-stopped
}
