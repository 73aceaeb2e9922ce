package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
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
}

var _ raft.StreamLayer = (*Streams)(nil)

// Streams returns the streams of a shard to this node's store self; from now on
// the port takes them. history says under which name the log goes now. The
// caller closes it.
func (p *Port) Streams(shard uint16, self string, history func() uint64) *Streams {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &Streams{p, shard, self, history, newQueue(name(self))}
	p.streams[shard] = s
	return s
}

// Accept implements net.Listener.
func (s *Streams) Accept() (net.Conn, error) { return s.queue.Accept() }

// Addr implements net.Listener.
func (s *Streams) Addr() net.Addr { return s.queue.addr }

// Close implements net.Listener.
func (s *Streams) Close() error {
	s.port.mu.Lock()
	if s.port.streams[s.shard] == s {
		delete(s.port.streams, s.shard)
	}
	s.port.mu.Unlock()
	return s.queue.Close()
}

// Dial implements raft.StreamLayer. What a store says to itself stays here.
func (s *Streams) Dial(server raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	target := string(server)
	if target == s.self {
		here, there := net.Pipe()
		if err := s.queue.put(there); err != nil {
			return nil, errors.Join(err, here.Close())
		}
		return here, nil
	}
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
	return c, nil
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
