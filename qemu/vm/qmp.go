package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
)

// A qmp is the client of QEMU's machine protocol (docs/interop/qmp-spec.txt).
type qmp struct {
	conn  net.Conn
	ended chan struct{} // Closed when QEMU says no more.

	busy   chan struct{}   // Holds a token while a command waits for its answer.
	ready  chan struct{}   // Closed at the greeting.
	answer chan qmpMessage // Of the last command; with room for it.

	mu     sync.Mutex
	last   int64  // Number of the last command.
	reason string // Of the last shutdown.
}

// A qmpMessage is whatever QEMU says: a greeting, an answer or an event.
type qmpMessage struct {
	QMP    json.RawMessage `json:"QMP"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
	ID    int64  `json:"id"`
	Event string `json:"event"`
	Data  struct {
		Reason string `json:"reason"`
	} `json:"data"`
}

func newQMP(conn net.Conn) *qmp {
	return &qmp{
		conn: conn, ended: make(chan struct{}), busy: make(chan struct{}, 1),
		ready: make(chan struct{}), answer: make(chan qmpMessage, 1),
	}
}

// read takes what QEMU says until it ends.
func (q *qmp) read() {
	defer close(q.ended)
	greeted := false
	for d := json.NewDecoder(q.conn); ; {
		var m qmpMessage
		if err := d.Decode(&m); err != nil {
			return
		}
		switch {
		case m.QMP != nil:
			if !greeted {
				close(q.ready)
			}
			greeted = true
		case m.Event == "SHUTDOWN":
			q.mu.Lock()
			q.reason = m.Data.Reason
			q.mu.Unlock()
		case m.Event == "":
			q.give(m)
		}
	}
}

// give passes an answer on, if it is that of the last command.
func (q *qmp) give(m qmpMessage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if m.ID == q.last {
		select {
		case q.answer <- m:
		default: // A second answer: not QEMU's way.
		}
	}
}

// shutdown returns why QEMU ended the guest, if it said so.
func (q *qmp) shutdown() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.reason
}

// greet begins the conversation.
func (q *qmp) greet(ctx context.Context) error {
	select {
	case <-q.ready:
		_, err := q.do(ctx, "qmp_capabilities")
		return err
	case <-q.ended:
		return errEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// do runs a command and returns what it returned.
func (q *qmp) do(ctx context.Context, command string) (json.RawMessage, error) {
	select {
	case q.busy <- struct{}{}:
		defer func() { <-q.busy }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", command, context.Cause(ctx))
	}
	q.mu.Lock()
	q.last++
	id := q.last
	select {
	case <-q.answer: // Of a command whose caller gave up.
	default:
	}
	q.mu.Unlock()
	b, err := json.Marshal(map[string]any{"execute": command, "id": id})
	if err != nil {
		return nil, err
	}
	if _, err := q.conn.Write(append(b, '\n')); err != nil {
		return nil, fmt.Errorf("%s: %w", command, errEnded)
	}
	select {
	case m := <-q.answer:
		if m.Error != nil {
			return nil, fmt.Errorf("%s: %s", command, m.Error.Desc)
		}
		return m.Return, nil
	case <-q.ended:
		return nil, fmt.Errorf("%s: %w", command, errEnded)
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", command, context.Cause(ctx))
	}
}
