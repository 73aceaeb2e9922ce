package relay

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"

	"leap.example/services/protocol/smtpline"
)

// A gate lets in connections within the limits, and knows all that are open.
type gate struct {
	cfg      settings
	failures *smtpline.Meter[netip.Prefix] // Of logins.
	messages sync.WaitGroup                // Under way.

	mu      sync.Mutex // Guards what follows.
	open    map[*conn]bool
	of      map[netip.Prefix]int // Connections of each network.
	closing bool                 // Connections at rest are closed.
	ended   bool                 // All are.
}

func newGate(cfg settings) *gate {
	return &gate{
		cfg:      cfg,
		failures: smtpline.NewMeter[netip.Prefix](smtpline.Rate{Every: time.Minute, Burst: cfg.LoginFailures}),
		open:     map[*conn]bool{}, of: map[netip.Prefix]int{},
	}
}

// A door is a listener as the SMTP library sees it: behind the gate, and
// inside TLS if it has a configuration.
type door struct {
	net.Listener
	gate *gate
	tls  *tls.Config
}

// Accept returns the next connection within the limits, and closes those
// before it.
func (d door) Accept() (net.Conn, error) {
	for {
		nc, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := d.gate.admit(nc)
		switch {
		case c == nil:
			nc.Close()
		case d.tls != nil:
			return tls.Server(c, d.tls), nil // The library makes the handshake.
		default:
			return c, nil
		}
	}
}

// admit returns the connection to serve, or nil.
func (g *gate) admit(nc net.Conn) *conn {
	c := &conn{Conn: nc, gate: g, patience: g.cfg.patience, end: time.Now().Add(life)}
	if a, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		c.network = smtpline.Network(a.Addr())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.open) >= g.cfg.Connections || g.of[c.network] >= g.cfg.PeerConnections {
		return nil
	}
	g.open[c] = true
	g.of[c.network]++
	return c
}

func (g *gate) left(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.open[c] {
		return
	}
	delete(g.open, c)
	if g.of[c.network]--; g.of[c.network] == 0 {
		delete(g.of, c.network)
	}
}

// A phase of a connection says whether it can be closed without loss.
type phase int

const (
	resting phase = iota // Between transactions.
	busy                 // In one.
	ending               // Closed before the next read.
)

// begin notes that a transaction begins on c, and reports whether there is
// time for one. If so, rest must follow.
func (g *gate) begin(c *conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return false
	}
	c.phase = busy
	return true
}

// rest notes that the transaction on c is over, and its reply written.
func (g *gate) rest(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.phase != ending {
		c.phase = resting
	}
}

// take notes that a message is taken in, and reports whether there is time for
// it. If so, messages.Done must follow.
func (g *gate) take() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return false
	}
	g.messages.Add(1)
	return true
}

// end closes c after the next reply.
func (g *gate) end(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.phase = ending
}

// reading is called before each read on c. It reports whether the connection
// goes on.
func (g *gate) reading(c *conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return c.phase != ending && (!g.closing || c.phase != resting)
}

// drain closes the connections at rest, and from now on each one that comes
// to rest. With all it closes all, and no message is taken in any more.
func (g *gate) drain(all bool) {
	g.mu.Lock()
	g.closing, g.ended = true, g.ended || all
	var list []*conn
	for c := range g.open {
		if all || c.phase == resting {
			list = append(list, c)
		}
	}
	g.mu.Unlock()
	for _, c := range list {
		c.Close() // Calls left.
	}
}
