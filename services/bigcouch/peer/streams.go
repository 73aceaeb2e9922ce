package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Streams are the raft streams of one shard. It implements raft.StreamLayer;
// the address of a server is its name, NODE@INCARNATION.
type Streams struct {
	port    *Port
	shard   uint16
	self    string
	history func() uint64
	queue   *queue

	mu    sync.Mutex            // Guards what follows.
	conns map[net.Conn]struct{} // Both ways. Nil once the streams are closed.
}

var _ raft.StreamLayer = (*Streams)(nil)

// Streams returns the streams of a shard to this node's store self; from now on
// the port takes them. history says under which name the log goes now. The
// caller closes it.
func (p *Port) Streams(shard uint16, self string, history func() uint64) *Streams {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &Streams{port: p, shard: shard, self: self, history: history, queue: newQueue(name(self)), conns: map[net.Conn]struct{}{}}
	p.streams[shard] = s
	return s
}

// Accept implements net.Listener.
func (s *Streams) Accept() (net.Conn, error) { return s.queue.Accept() }

// Addr implements net.Listener.
func (s *Streams) Addr() net.Addr { return s.queue.addr }

// Close implements net.Listener. It cuts the streams that there are, in both
// directions: what goes over them may take hours.
func (s *Streams) Close() error {
	s.port.mu.Lock()
	if s.port.streams[s.shard] == s {
		delete(s.port.streams, s.shard)
	}
	s.port.mu.Unlock()
	s.cut()
	return nil
}

func (s *Streams) cut() {
	_ = s.queue.Close() // Never fails.
	s.mu.Lock()
	conns := slices.Collect(maps.Keys(s.conns))
	s.conns = nil
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // It is gone anyhow.
	}
}

// keep returns a stream that is cut when all are.
func (s *Streams) keep(c net.Conn) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	k := &kept{c, s}
	s.conns[k] = struct{}{}
	return k, nil
}

// kept is a stream that can be cut.
type kept struct {
	net.Conn
	of *Streams
}

func (k *kept) Close() error {
	k.of.mu.Lock()
	delete(k.of.conns, k)
	k.of.mu.Unlock()
	return k.Conn.Close()
}

// heard is a stream that came in. One goroutine at a time uses it: it reads a
// command, and writes the answer before it reads the next.
type heard struct {
	net.Conn
	within bool // A command of which something has been read.
}

// Read has a deadline within a command: a leader that falls silent in the middle
// of a state must not hold up elections. Between two a stream may be idle: whoever
// stands for election keeps it for the next time.
func (h *heard) Read(p []byte) (int, error) {
	var by time.Time
	if h.within {
		by = time.Now().Add(silence)
	}
	if err := h.SetReadDeadline(by); err != nil {
		return 0, err
	}
	n, err := h.Conn.Read(p)
	h.within = h.within || n > 0
	return n, err
}

// Write writes an answer.
func (h *heard) Write(p []byte) (int, error) {
	h.within = false
	return h.Conn.Write(p)
}

// Dial implements raft.StreamLayer.
func (s *Streams) Dial(server raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	target := string(server)
	node := target
	if i := strings.LastIndexByte(target, '@'); i >= 0 {
		node = target[:i]
	}
	if len(target) > 255 {
		return nil, errors.New("the name of the server is too long")
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c, err := s.port.dial(ctx, node, protoRaft)
	if err != nil {
		return nil, err
	}
	head := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint16(nil, s.shard), s.history())
	head = append(append(head, byte(len(target))), target...)
	if _, err := c.Write(head); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return s.keep(c)
}

// A name is the address of a server.
type name string

func (n name) Network() string { return "leap" }
func (n name) String() string  { return string(n) }

// A queue is a net.Listener that connections are put into.
type queue struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (q *queue) put(c net.Conn) error {
	select {
	case q.conns <- c:
		return nil
	case <-q.done:
		return net.ErrClosed
	}
}

// Accept implements net.Listener.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (q *queue) Addr() net.Addr { return q.addr }

// Close implements net.Listener.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}
