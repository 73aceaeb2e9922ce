package userspace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/problem"
)

// Config is how a Path is used.
type Config struct {
	Proxy netip.AddrPort // Where the proxy listens: on loopback. Port 0: any.
	Log   *slog.Logger
}

// A Path is a policy.Path by way of a proxy.
type Path struct {
	ln  net.Listener
	log *slog.Logger
	ctx context.Context // Done after Close: the life of the Path, not of a call.
	end context.CancelFunc
	wg  sync.WaitGroup // The proxy.

	mu      sync.Mutex // Guards what follows.
	policy  policy.Policy
	tunnel  *tunnel                   // Nil unless the mode is Tunnel.
	outside map[*outsideConn]struct{} // Made by Dial.
	closed  bool
}

var _ policy.Path = (*Path)(nil)

// New starts the proxy. It refuses everything until the first Apply. Invalid:
// the address is not of loopback; Unavailable: the port is taken.
func New(ctx context.Context, cfg Config) (*Path, error) {
	if !cfg.Proxy.Addr().IsLoopback() {
		return nil, problem.Invalid.Errorf("the proxy may only listen on this computer, like 127.0.0.1:1080")
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Proxy.String())
	if err != nil {
		return nil, problem.Unavailable.Errorf("the proxy cannot listen on %s: choose another port", cfg.Proxy)
	}
	p := &Path{ln: ln, log: cfg.Log, outside: map[*outsideConn]struct{}{}}
	p.ctx, p.end = context.WithCancel(context.Background())
	p.wg.Go(p.accept)
	return p, nil
}

// Proxy returns where the proxy listens.
func (p *Path) Proxy() netip.AddrPort { return p.ln.Addr().(*net.TCPAddr).AddrPort() }

// Apply implements policy.Path.
func (p *Path) Apply(_ context.Context, next policy.Policy) error {
	if err := next.Validate(time.Now()); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	old := p.tunnel
	switch {
	case next.Mode != policy.Tunnel:
		p.tunnel = nil
	case old != nil && old.serves(*next.Tunnel):
		if err := old.set(*next.Tunnel); err != nil {
			return err
		}
	default:
		t, err := newTunnel(*next.Tunnel, p.dialGateway)
		if err != nil {
			return err
		}
		p.tunnel = t
	}
	p.policy = next
	if old != nil && old != p.tunnel {
		old.close() // With all that goes through it.
	}
	p.cut()
	return nil
}

// cut ends connections outside the tunnel that the policy does not name. The
// caller holds mu.
func (p *Path) cut() {
	for c := range p.outside {
		if !p.reaches(c.to) {
			c.Conn.Close()
			delete(p.outside, c)
		}
	}
}

// reaches reports whether a may be dialled. The caller holds mu.
func (p *Path) reaches(a netip.AddrPort) bool {
	return !p.closed && (p.policy.Mode == policy.Open || slices.Contains(p.policy.Reach, a) ||
		p.policy.Tunnel != nil && p.policy.Tunnel.Endpoint == a)
}

// Stats implements policy.Path.
func (p *Path) Stats(context.Context) (policy.Stats, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tunnel == nil {
		return policy.Stats{}, nil
	}
	return p.tunnel.stats()
}

// Dial implements policy.Path.
func (p *Path) Dial(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
	p.mu.Lock()
	ok := p.reaches(addr)
	p.mu.Unlock()
	if !ok {
		return nil, errOutside
	}
	raw, err := new(net.Dialer).DialContext(ctx, network, addr.String())
	if err != nil {
		return nil, err
	}
	c := &outsideConn{Conn: raw, path: p, to: addr}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaches(addr) { // The policy changed meanwhile.
		raw.Close()
		return nil, errOutside
	}
	p.outside[c] = struct{}{}
	return c, nil
}

var errOutside = problem.Permission.Errorf("the policy does not let this address be reached outside the tunnel")

// dialGateway connects the tunnel itself, whose endpoint the policy implies:
// it runs before that policy is in force.
func (p *Path) dialGateway(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, addr.String())
}

// An outsideConn is a connection outside the tunnel.
type outsideConn struct {
	net.Conn
	path *Path
	to   netip.AddrPort
}

// Close implements net.Conn.
func (c *outsideConn) Close() error {
	c.path.mu.Lock()
	delete(c.path.outside, c)
	c.path.mu.Unlock()
	return c.Conn.Close()
}

// current returns the tunnel; nil when nothing may leave.
func (p *Path) current() *tunnel {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tunnel
}

// Close implements policy.Path: nothing leaves any more.
func (p *Path) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed, p.policy = true, policy.Policy{}
	old := p.tunnel
	p.tunnel = nil
	p.cut()
	p.mu.Unlock()
	if old != nil {
		old.close()
	}
	err := p.ln.Close()
	p.end()
	p.wg.Wait()
	return err
}

// serves reports whether l is the same tunnel, whatever its gateway's address
// and pre-shared key: then it can be changed while it is in use.
func (t *tunnel) serves(l policy.Link) bool {
	return t.link.PrivateKey == l.PrivateKey && t.link.PeerKey == l.PeerKey && t.link.MTU == l.MTU &&
		slices.Equal(t.link.Addresses, l.Addresses) && slices.Equal(t.link.DNS, l.DNS)
}

// dial connects through the tunnel. When it is replaced by another meanwhile,
// it is tried again through that one.
func (p *Path) dial(ctx context.Context, address string) (net.Conn, *tunnel, error) {
	for {
		t := p.current()
		if t == nil {
			return nil, nil, errBlocked
		}
		c, err := t.dial(ctx, address)
		if err == nil {
			return c, t, nil
		}
		if ctx.Err() != nil || p.current() == t {
			return nil, nil, fmt.Errorf("connecting through the tunnel: %w", err)
		}
	}
}

// errBlocked is what the proxy refuses with.
var errBlocked = errors.New("the VPN is not connected: nothing leaves")

// same reports whether two ways to a gateway are one.
func same(a, b policy.Link) bool {
	return a.Endpoint == b.Endpoint && reflect.DeepEqual(a.Wrap, b.Wrap)
}
