package e2e

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A post is the mail of a test: what was sent, and what came of it. Of every
// letter that was answered 250 there is one copy in the end, however often its
// sender tried.
type post struct {
	mu      sync.Mutex // Guards what follows.
	letters []*letter
	frozen  bool // The power is cut: what is answered now does not count.
}

// A letter is one message.
type letter struct {
	id, text  string
	submitted bool // To the relay, which has it until the MX does.

	// Guarded by post.mu.
	acked  bool   // Answered 250.
	queued string // Its id in the relay's queue.
	taking bool   // A device has asked that it be removed from the queue,
	taken  bool   // and was told that it is.
}

// letterDomain ends the Message-ID of letters.
const letterDomain = "letters.example"

// write returns a new letter.
func (p *post) write(from, to string, submitted bool) *letter {
	l := &letter{id: rand.Text(), submitted: submitted}
	l.text = fmt.Sprintf("From: %s\r\nTo: %s\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\nSubject: letter\r\n\r\n%s\r\n",
		from, to, time.Now().Format(time.RFC1123Z), l.id, letterDomain, strings.Repeat(l.id+" ", 30))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.letters = append(p.letters, l)
	return l
}

// note changes a letter, unless the power is cut, and reports whether it did.
func (p *post) note(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.frozen {
		f()
	}
	return !p.frozen
}

// count counts the letters of which f is true.
func (p *post) count(f func(*letter) bool) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.letters {
		if f(l) {
			n++
		}
	}
	return n
}

func acked(l *letter) bool { return l.acked }

// audit compares the letters with the copies in the incoming queue. At the end
// the relay has delivered everything, too.
func (p *post) audit(t *testing.T, when string, copies map[string]int, end bool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	known := 0
	for _, l := range p.letters {
		n := copies[l.id]
		if n > 0 {
			known++
		}
		switch {
		case l.taken && n != 0:
			t.Errorf("%s: a letter that a device has taken is there again", when)
		case l.acked && !l.taking && n == 0 && (!l.submitted || end):
			t.Errorf("%s: a letter that was answered 250 is lost (submitted: %v, as %q)", when, l.submitted, l.queued)
		case n > 1:
			t.Errorf("%s: a letter is there %d times (answered 250: %v, submitted: %v)", when, n, l.acked, l.submitted)
		}
	}
	if known != len(copies) {
		t.Errorf("%s: %d letters are there that nobody wrote", when, len(copies)-known)
	}
}

// A sender sends letters, one after the other, each again and again until it
// is answered 250, as mail servers do, also after the provider was down. One
// goroutine at a time uses it.
type sender struct {
	post    *post
	from    string
	to      []string
	pending *letter
	login   *login // To the relay. Nil: the letters go to the MX.
}

// A login is how a user is known to the relay.
type login struct {
	tls         *tls.Config
	name, token string
}

// run sends to addr until ctx ends.
func (s *sender) run(ctx context.Context, addr string) {
	for ctx.Err() == nil {
		if err := s.send(ctx, addr); err != nil {
			pause(ctx, 20*time.Millisecond)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// send tries once to send the pending letter, or a new one. Its error is nil
// only after a 250.
func (s *sender) send(ctx context.Context, addr string) error {
	if s.pending == nil {
		s.pending = s.post.write(s.from, s.to[0], s.login != nil)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	over := conn
	if s.login != nil {
		over = tls.Client(conn, s.login.tls)
	}
	c := smtp.NewClient(over)
	if err := c.Hello("outside.example"); err != nil {
		return err
	}
	if s.login != nil {
		if err := c.Auth(sasl.NewPlainClient("", s.login.name, s.login.token)); err != nil {
			return err
		}
	}
	reply, err := s.transact(c)
	if err != nil {
		return err
	}
	queued := reply[strings.LastIndexByte(reply, ' ')+1:]
	if s.post.note(func() { s.pending.acked, s.pending.queued = true, queued }) {
		s.pending = nil
	}
	return nil
}

// transact makes the transaction and returns the text of the reply to it.
func (s *sender) transact(c *smtp.Client) (string, error) {
	if err := c.Mail(s.from, nil); err != nil {
		return "", err
	}
	for _, to := range s.to {
		if err := c.Rcpt(to, nil); err != nil {
			return "", err
		}
	}
	w, err := c.Data()
	if err != nil {
		return "", err
	}
	if _, err := w.Write([]byte(s.pending.text)); err != nil {
		return "", err
	}
	resp, err := w.CloseWithResponse()
	if err != nil {
		return "", err
	}
	return resp.StatusText, nil
}
