package mx

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"leap.example/services/protocol/smtpline"
)

// A gate is the listener as the SMTP library sees it. It lets in connections
// within the limits, and knows all that are open.
type gate struct {
	net.Listener
	cfg     settings
	arrived *smtpline.Meter[netip.Prefix] // Connections.
	unknown *smtpline.Meter[netip.Prefix] // Addresses that are not here.

	messages sync.WaitGroup // Under way.

	mu      sync.Mutex // Guards what follows.
	open    map[*conn]bool
	of      map[netip.Prefix]int // Connections of each network.
	closing bool                 // Connections at rest are closed.
	ended   bool                 // All are.
}

func newGate(ln net.Listener, cfg settings) *gate {
	return &gate{
		Listener: ln, cfg: cfg,
		arrived: smtpline.NewMeter[netip.Prefix](perMinute(cfg.PeerRate)),
		unknown: smtpline.NewMeter[netip.Prefix](smtpline.Rate{Every: time.Minute, Burst: cfg.UnknownAddresses}),
		open:    map[*conn]bool{}, of: map[netip.Prefix]int{},
	}
}

func perMinute(n int) smtpline.Rate {
	return smtpline.Rate{Every: time.Minute / time.Duration(n), Burst: n}
}

// Accept returns the next connection within the limits, and turns away those
// before it.
func (g *gate) Accept() (net.Conn, error) {
	for {
		nc, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := g.admit(nc); c != nil {
			return c, nil
		}
		nc.SetWriteDeadline(time.Now().Add(time.Second))                        // Fits the empty send buffer.
		nc.Write([]byte("421 4.7.0 Too many connections, try again later\r\n")) // It is turned away whether it listens or not.
		nc.Close()
	}
}

// admit returns the connection to serve, or nil.
func (g *gate) admit(nc net.Conn) *conn {
	c := &conn{Conn: nc, gate: g, patience: g.cfg.patience, end: time.Now().Add(life)}
	if a, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		c.ip = a.Addr().Unmap()
	}
	c.network = smtpline.Network(c.ip)
	for _, p := range g.cfg.Trusted {
		c.trusted = c.trusted || p.Contains(c.ip)
	}
	if !c.trusted {
		c.delay = g.cfg.delay
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	full := g.of[c.network] >= g.cfg.PeerConnections || !g.arrived.Take(c.network, time.Now())
	if len(g.open) >= g.cfg.Connections || full && !c.trusted {
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
	c.phase = resting
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

// reading is called before each read on c. It reports whether the connection
// goes on.
func (g *gate) reading(c *conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.closing || c.phase != resting
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
