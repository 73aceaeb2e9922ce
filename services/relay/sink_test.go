package relay_test

import (
	"bufio"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A delivery is one message that a sink took.
type delivery struct {
	helo, from string
	to         []string
	raw        string // As it came over the wire, without the end of data.
	tls        bool
}

// text returns the message without the dots of transparency.
func (d delivery) text() string { return strings.ReplaceAll(d.raw, "\r\n..", "\r\n.") }

// A sink is a foreign mail server on a raw socket. Its behaviour can be changed
// before mail comes.
type sink struct {
	t    testing.TB
	addr string
	cert *tls.Certificate // Nil: no STARTTLS.
	hold chan bool        // Not nil: each message waits for one value before the reply.

	mu       sync.Mutex // Guards what follows.
	greeting string
	old      bool                   // No SMTPUTF8.
	rcpt     func(to string) string // Reply; nil: 250.
	data     func() string          // Reply to the message; nil: 250. "" closes the connection.
	lines    []string               // Commands.
	got      []delivery
}

// newSink starts a sink at an address, or anywhere on loopback.
func newSink(t testing.TB, addr string, cert *tls.Certificate) *sink {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{t: t, addr: ln.Addr().String(), cert: cert, greeting: "220 sink ESMTP"}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return s
}

func (s *sink) set(f func(*sink)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *sink) deliveries() []delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]delivery(nil), s.got...)
}

// wait returns the deliveries when there are n of them.
func (s *sink) wait(n int) []delivery {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if got := s.deliveries(); len(got) >= n || time.Now().After(deadline) {
			if len(got) != n {
				s.t.Fatalf("%d deliveries, want %d", len(got), n)
			}
			return got
		}
	}
}

func (s *sink) serve(c net.Conn) {
	defer func() { c.Close() }()
	c.SetDeadline(time.Now().Add(60 * time.Second))
	r := bufio.NewReader(c)
	say := func(line string) { c.Write([]byte(line + "\r\n")) } // A peer that is gone ends the next read.
	s.mu.Lock()
	greeting, rcpt, data, old := s.greeting, s.rcpt, s.data, s.old
	s.mu.Unlock()
	say(greeting)
	var d delivery
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.set(func(s *sink) { s.lines = append(s.lines, line) })
		verb, arg, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			d.helo = arg
			if s.cert != nil && !d.tls {
				say("250-sink\r\n250-STARTTLS")
			} else if old {
				say("250-sink")
			} else {
				say("250-sink\r\n250-SMTPUTF8")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go")
			t := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*s.cert}})
			if t.Handshake() != nil {
				return
			}
			c, r, d = t, bufio.NewReader(t), delivery{tls: true}
		case "MAIL":
			d = delivery{helo: d.helo, tls: d.tls, from: between(arg)}
			say("250 ok")
		case "RCPT":
			answer := "250 ok"
			if rcpt != nil {
				answer = rcpt(between(arg))
			}
			if strings.HasPrefix(answer, "250") {
				d.to = append(d.to, between(arg))
			}
			say(answer)
		case "DATA":
			say("354 go")
			raw, err := readData(r)
			if err != nil {
				return
			}
			if s.hold != nil {
				<-s.hold
			}
			d.raw = raw
			answer := "250 2.0.0 ok"
			if data != nil {
				answer = data()
			}
			if strings.HasPrefix(answer, "250") || answer == "" {
				s.set(func(s *sink) { s.got = append(s.got, d) })
			}
			if answer == "" {
				return
			}
			say(answer)
		case "QUIT":
			say("221 bye")
			return
		default:
			say("500 what?")
		}
	}
}

func between(arg string) string {
	_, a, _ := strings.Cut(arg, "<")
	a, _, _ = strings.Cut(a, ">")
	return a
}

// readData reads up to the only true end of data.
func readData(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		before := b.String()
		if line == ".\r\n" && (before == "" || strings.HasSuffix(before, "\r\n")) {
			return before, nil
		}
		b.WriteString(line)
	}
}
