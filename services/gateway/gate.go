package gateway

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"

	"leap.example/services/protocol/problem"
)

// ownConnections is how many connections a certificate has at once: three leases
// of a lease API and a fallback each, and those that have not noticed yet that
// they are over.
const ownConnections = 12

// A gate bounds the connections of several listeners together, those of each
// network and of each certificate at once, and how many each network opens. What
// is too much is closed before it costs a handshake, or with the handshake if it
// is a certificate's.
type gate struct {
	most, each int // At once: of all, of a network.
	dials      *limiter

	mu       sync.Mutex // Guards what follows.
	all      int
	networks map[netip.Prefix]int // While they are connected.
	owners   map[owner]int
}

func newGate(most, each int, dials *limiter) *gate {
	return &gate{most: most, each: each, dials: dials, networks: map[netip.Prefix]int{}, owners: map[owner]int{}}
}

// watch returns ln behind the gate.
func (g *gate) watch(ln net.Listener) net.Listener { return gated{ln, g} }

// enter takes a place. It is not ok if there is none.
func (g *gate) enter(from netip.Prefix) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all >= g.most || g.networks[from] >= g.each {
		return false
	}
	g.all++
	g.networks[from]++
	return true
}

// leave gives back the place of c.
func (g *gate) leave(c *counted) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.left {
		return
	}
	c.left = true
	g.all--
	less(g.networks, c.from)
	if c.shown {
		less(g.owners, c.owner)
	}
}

func less[K comparable](counts map[K]int, k K) {
	if counts[k]--; counts[k] <= 0 {
		delete(counts, k)
	}
}

// show counts a connection as its owner's. The error is that there are too many.
func (g *gate) show(c *counted, o owner) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.left || c.shown || g.owners[o] >= ownConnections {
		return problem.Limit.Errorf("this certificate has too many connections: close one")
	}
	g.owners[o]++
	c.owner, c.shown = o, true
	return nil
}

// admit returns conf with the owner's bound for connections that came through
// the gate. of tells whose certificate it is.
func (g *gate) admit(conf *tls.Config, of func(certificate []byte) owner) *tls.Config {
	outer := conf.Clone()
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c, ok := hello.Conn.(*counted)
		if !ok {
			return nil, nil // As it is.
		}
		inner := conf.Clone()
		inner.VerifyConnection = func(state tls.ConnectionState) error {
			return g.show(c, of(state.PeerCertificates[0].Raw)) // There is one: it is required.
		}
		return inner, nil
	}
	return outer
}

type gated struct {
	net.Listener
	gate *gate
}

// Accept implements net.Listener.
func (l gated) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := sourceOf(c.RemoteAddr().String())
		if l.gate.dials.allow(from, time.Now()) && l.gate.enter(from) {
			return &counted{Conn: c, gate: l.gate, from: from}, nil
		}
		c.Close()
	}
}

// A counted connection has a place of the gate, which guards what follows it.
type counted struct {
	net.Conn
	gate *gate
	from netip.Prefix

	left, shown bool
	owner       owner // If shown.
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.gate.leave(c)
	return c.Conn.Close()
}
