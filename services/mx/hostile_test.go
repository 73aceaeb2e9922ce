package mx_test

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"leap.example/services/mx"
)

// ends are what some server takes for the end of data, RFC 5321, 4.1.1.4 has
// one alone.
var ends = []string{"\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r\n\x00.\r\n"}

// TestSmuggling sends a second message inside the first.
func TestSmuggling(t *testing.T) {
	for _, end := range ends {
		for _, how := range []string{"DATA", "BDAT"} {
			t.Run(fmt.Sprintf("%s %q", how, end), func(t *testing.T) {
				s := start(t)
				inner := "MAIL FROM:<evil@example.net>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n" + mail("2", "smuggled") + ".\r\n"
				msg := mail("1", "hello") + "last line" + end + inner
				d := s.dial()
				d.say("", "220")
				d.say("EHLO peer", "250")
				d.say("MAIL FROM:<carol@example.net>", "250")
				d.say("RCPT TO:<alice@example.org>", "250")
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
				if n := len(s.letters(cast().bob)); n != 0 {
					t.Errorf("%d messages were smuggled to bob", n)
				}
				for _, l := range s.letters(cast().alice) {
					if rest := strings.ReplaceAll(l.raw, "\r\n", ""); strings.ContainsAny(rest, "\r\n\x00") {
						t.Errorf("the message went through with a forbidden octet: %q", l.raw)
					}
				}
			})
		}
	}
}

func TestChunks(t *testing.T) {
	s := start(t)
	d := s.dial()
	d.say("", "220")
	d.say("EHLO peer", "250")
	d.say("MAIL FROM:<carol@example.net>", "250")
	d.say("RCPT TO:<alice@example.org>", "250")
	msg := mail("1", strings.Repeat("0123456789\r\n", 10_000)+"\r\n.\r\nend")
	for len(msg) > 7777 {
		d.send(fmt.Sprintf("BDAT 7777\r\n%s", msg[:7777]))
		d.say("", "250")
		msg = msg[7777:]
	}
	d.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(msg), msg))
	d.say("", "250")
	// Given up in the middle.
	d.say("MAIL FROM:<carol@example.net>", "250")
	d.say("RCPT TO:<alice@example.org>", "250")
	d.send("BDAT 10\r\n0123456789")
	d.say("", "250")
	d.say("RSET", "250")
	d.say("QUIT", "221")
	got := s.letters(cast().alice)
	if len(got) != 1 || !strings.HasSuffix(got[0].raw, "0123456789\r\n\r\n.\r\nend\r\n") {
		t.Errorf("alice has %d letters, want one, whole", len(got))
	}
}

// TestCutOff: a message whose sender goes away in the middle of a chunk is not
// taken for a whole one.
func TestCutOff(t *testing.T) {
	for name, leave := range map[string]func(d *talk, raw io.Closer){
		"clear":         func(_ *talk, raw io.Closer) { raw.Close() },
		"TLS cut":       func(_ *talk, raw io.Closer) { raw.Close() },
		"TLS goodbye":   func(d *talk, _ io.Closer) { d.c.Close() },
		"TLS then more": func(d *talk, _ io.Closer) { d.send("\r\n") }, // As long as a goodbye.
	} {
		s := start(t)
		msg := mail("1", "half\r\n")
		d := s.dial()
		raw := d.c
		d.say("", "220")
		d.say("EHLO peer", "250")
		if strings.HasPrefix(name, "TLS") {
			d.startTLS(s.roots)
			d.say("EHLO peer", "250")
		}
		d.say("MAIL FROM:<carol@example.net>", "250")
		d.say("RCPT TO:<alice@example.org>", "250")
		d.send(fmt.Sprintf("BDAT %d LAST\r\n", len(msg)+2))
		d.send(msg)
		leave(d, raw)
		if name == "TLS then more" {
			d.say("", "250")
			d.say("NOOP", "250")
		}
		raw.Close()
		s.stop() // The session is over.
		want := 0
		if name == "TLS then more" {
			want = 1
		}
		if n := len(s.letters(cast().alice)); n != want {
			t.Errorf("%s: alice has %d letters, want %d", name, n, want)
		}
	}
}

func TestEarlyTalker(t *testing.T) {
	s := start(t, func(c *mx.Config) { c.GreetingDelay = "300ms" })
	d := s.dial()
	d.say("EHLO spammer", "554 5.5.1")
	if got := d.reply(); !strings.HasPrefix(got, "error") {
		t.Errorf("after the refusal: %q, want the end", got)
	}
	begin := time.Now()
	d = s.dial()
	d.say("", "220")
	if waited := time.Since(begin); waited < 300*time.Millisecond {
		t.Errorf("greeting after %v, want 300 ms", waited)
	}
	s.dial().c.Close() // Somebody looks whether the port is open.
}

func TestPeerLimits(t *testing.T) {
	s := start(t, func(c *mx.Config) { c.PeerConnections, c.PeerRate = 3, 6 })
	var open []*talk
	for range 3 {
		d := s.dial()
		d.say("", "220")
		open = append(open, d)
	}
	s.dial().say("", "421 4.7.0")
	for _, d := range open {
		d.say("QUIT", "221")
		d.reply() // The end.
	}
	admitted := 3
	for range 6 {
		d := s.dial()
		if got := d.reply(); strings.HasPrefix(got, "220") {
			admitted++
		}
		d.c.Close()
	}
	if admitted < 4 || admitted > 7 {
		t.Errorf("%d connections in a moment, want 6", admitted)
	}
	trusted := start(t, func(c *mx.Config) {
		c.PeerConnections, c.PeerRate, c.GreetingDelay = 1, 1, "1h"
		c.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	for range 5 {
		trusted.dial().say("", "220")
	}
}

func TestHarvesting(t *testing.T) {
	s := start(t, func(c *mx.Config) { c.UnknownAddresses = 3 })
	for i := range 3 {
		d := s.dial()
		d.say("", "220")
		d.say("EHLO peer", "250")
		d.say("MAIL FROM:<>", "250")
		d.say(fmt.Sprintf("RCPT TO:<guess%d@example.org>", i), "550 5.1.1")
		d.c.Close()
	}
	d := s.dial()
	d.say("", "220")
	d.say("EHLO peer", "250")
	d.say("MAIL FROM:<>", "250")
	asked := s.ids.Asked()
	d.say("RCPT TO:<guess@example.org>", "451 4.7.1")
	d.say("RCPT TO:<alice@example.org>", "451 4.7.1") // Says as much as the other.
	if s.ids.Asked() != asked {
		t.Error("the database was asked for a harvester")
	}
}

func TestSlowPeer(t *testing.T) {
	s := start(t, func(c *mx.Config) { c.Timeout = "300ms" })
	d := s.dial()
	d.say("", "220")
	d.say("EHLO peer", "250")
	d.say("MAIL FROM:<carol@example.net>", "250")
	d.say("RCPT TO:<alice@example.org>", "250")
	d.say("DATA", "354")
	for _, c := range mail("1", "slow") { // Slow, but never silent.
		d.send(string(c))
	}
	d.send(".\r\n")
	d.say("", "250")
	d.say("MAIL FROM:<carol@example.net>", "250")
	d.say("RCPT TO:<alice@example.org>", "250")
	d.say("DATA", "354")
	d.send("From: x@example.net\r\n") // And falls silent.
	for {
		if got := d.reply(); strings.HasPrefix(got, "error") {
			break
		}
	}
	if n := len(s.letters(cast().alice)); n != 1 {
		t.Errorf("alice has %d letters, want 1", n)
	}
}

// TestStop: a server that stops lets a message that is under way finish, and
// ends the connections that rest.
func TestStop(t *testing.T) {
	s := start(t)
	idle, busy := s.dial(), s.dial()
	for _, d := range []*talk{idle, busy} {
		d.say("", "220")
		d.say("EHLO peer", "250")
	}
	busy.say("MAIL FROM:<carol@example.net>", "250")
	busy.say("RCPT TO:<alice@example.org>", "250")
	busy.say("DATA", "354")
	msg := mail("1", "x")
	busy.send(msg[:20])
	stopped := make(chan bool)
	go func() { s.stop(); close(stopped) }()
	if got := idle.reply(); !strings.HasPrefix(got, "error") {
		t.Errorf("the connection at rest got %q, want the end", got)
	}
	busy.send(msg[20:] + ".\r\n")
	busy.say("", "250")
	<-stopped
	if n := len(s.letters(cast().alice)); n != 1 {
		t.Errorf("alice has %d letters, want 1", n)
	}
}

// TestLittleMemory: more large messages at once than there is memory for all
// get through, or are told to wait.
func TestLittleMemory(t *testing.T) {
	s := start(t, func(c *mx.Config) { c.MaxSize, c.Memory = 3<<19, 15<<20 })
	body := strings.Repeat(strings.Repeat("z", 76)+"\r\n", 16_000)
	got := make(chan string)
	for i := range 5 {
		go func() { got <- s.transfer(mail(fmt.Sprint(i), body), "alice@example.org") }()
	}
	for range 5 {
		if r := <-got; !strings.HasPrefix(r, "250") {
			t.Errorf("got %q, want 250", r)
		}
	}
	if n := len(s.letters(cast().alice)); n != 5 {
		t.Errorf("alice has %d letters, want 5", n)
	}
}
