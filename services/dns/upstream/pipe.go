package upstream

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	idle       = 20 * time.Second // A connection without questions: RFC 7858, 3.4.
	maxWaiting = 512              // Questions on their way on one connection.
)

// errClosed is that a connection ended while a question was on its way: another
// one may do better.
var errClosed = errors.New("the connection was closed")

// A pipe is one connection that carries many questions at once: RFC 7766, 6.2.1.1.
type pipe struct {
	conn *dns.Conn
	done chan struct{} // Closed when nothing more is read.

	writing sync.Mutex // Held while a question is written.

	mu      sync.Mutex
	waiting map[uint16]*wait
	heard   time.Time // When the last answer came.
	retired bool      // It takes no more questions, and is closed after the last.
	closed  bool
}

type wait struct {
	query *dns.Msg
	reply chan *dns.Msg // Of length 1.
}

func newPipe(conn net.Conn) *pipe {
	return &pipe{conn: &dns.Conn{Conn: conn}, done: make(chan struct{}), waiting: map[uint16]*wait{}}
}

// read hands out the answers until the connection ends.
func (p *pipe) read() {
	defer close(p.done)
	defer p.close()
	for {
		if p.conn.SetReadDeadline(time.Now().Add(idle)) != nil {
			return
		}
		m, err := p.conn.ReadMsg()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.heard = time.Now()
		w := p.waiting[m.Id]
		if w != nil && answers(m, w.query) {
			delete(p.waiting, m.Id)
			w.reply <- m
		}
		p.mu.Unlock()
	}
}

func (p *pipe) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.conn.Close()
}

// retire lets the connection end with the questions that are on their way.
func (p *pipe) retire() {
	p.mu.Lock()
	p.retired = true
	p.mu.Unlock()
	p.closeRetired()
}

func (p *pipe) closeRetired() {
	p.mu.Lock()
	over := p.retired && len(p.waiting) == 0
	p.mu.Unlock()
	if over {
		p.close()
	}
}

// alive reports whether the connection takes another question.
func (p *pipe) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.closed && len(p.waiting) < maxWaiting
}

// register gives m an id that no other question has.
func (p *pipe) register(m *dns.Msg) (*wait, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.retired || len(p.waiting) >= maxWaiting {
		return nil, false
	}
	for p.waiting[m.Id] != nil {
		m.Id++
	}
	w := &wait{m, make(chan *dns.Msg, 1)}
	p.waiting[m.Id] = w
	return w, true
}

// exchange asks m, whose id it may change.
func (p *pipe) exchange(ctx context.Context, m *dns.Msg) (*dns.Msg, error) {
	w, ok := p.register(m)
	if !ok {
		return nil, errClosed
	}
	defer func() {
		p.mu.Lock()
		if p.waiting[m.Id] == w {
			delete(p.waiting, m.Id)
		}
		p.mu.Unlock()
		p.closeRetired()
	}()
	asked := time.Now()
	if err := p.write(ctx, m); err != nil {
		p.close() // Half a question may be in it.
		return nil, errClosed
	}
	select {
	case reply := <-w.reply:
		return reply, nil
	case <-ctx.Done():
		p.doubt(asked)
		return nil, ctx.Err()
	case <-p.done:
		select {
		case reply := <-w.reply:
			return reply, nil
		default:
			return nil, errClosed
		}
	}
}

// doubt closes the connection if nothing has come since a question was asked in
// vain: it may be dead without knowing it.
func (p *pipe) doubt(asked time.Time) {
	p.mu.Lock()
	silent := p.heard.Before(asked)
	p.mu.Unlock()
	if silent {
		p.close()
	}
}

func (p *pipe) write(ctx context.Context, m *dns.Msg) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(perTry)
	}
	if err := p.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	return p.conn.WriteMsg(m)
}
