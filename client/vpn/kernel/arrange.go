package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"leap.example/client/vpn/policy"
)

// open takes away everything, the table last.
func (p *Path) open(ctx context.Context) error {
	if err := p.withdraw(ctx); err != nil {
		return err
	}
	if err := p.state.keep(false); err != nil {
		return err
	}
	q := policy.Policy{Mode: policy.Open}
	p.abort(ctx, q) // While the table still keeps their last words in.
	if err := install(q, p.had); err != nil {
		return err
	}
	if err := p.state.write(openFile, "asked for\n"); err != nil {
		return err
	}
	p.set(q)
	p.log.Info("applied", "mode", q.Mode.String())
	return nil
}

// arrange brings link, routes and resolvers to what q says.
func (p *Path) arrange(ctx context.Context, q policy.Policy) error {
	if q.Tunnel == nil {
		return p.withdraw(ctx)
	}
	if p.tunnel != nil && !linked() { // Somebody has deleted it.
		if err := p.withdraw(ctx); err != nil {
			return err
		}
	}
	if p.tunnel == nil {
		l, err := newLink(p.log)
		if err != nil {
			return err
		}
		p.tunnel = l
		p.mu.Lock()
		p.wg = l.wg
		p.mu.Unlock()
	}
	if err := p.tunnel.set(*q.Tunnel); err != nil {
		return err
	}
	if err := route(q); err != nil {
		return err
	}
	p.abort(ctx, q)
	return p.names.use(ctx, q.Tunnel.DNS)
}

// remember adds the addresses of q to those that tunnels have had.
func (p *Path) remember(q policy.Policy) error {
	all := p.had
	for _, a := range addresses(q) {
		if !slices.Contains(all, a) {
			all = append(slices.Clone(all), a)
		}
	}
	if len(all) == len(p.had) {
		return nil
	}
	if err := p.state.remember(all); err != nil {
		return fmt.Errorf("remembering the tunnel's addresses: %w", err)
	}
	p.had = all
	return nil
}

// gone are the addresses of tunnels that q does not have.
func (p *Path) gone(q policy.Policy) []netip.Addr {
	now := addresses(q)
	return slices.DeleteFunc(slices.Clone(p.had), func(a netip.Addr) bool { return slices.Contains(now, a) })
}

// abort ends the connections of addresses that q does not have, and forgets the
// addresses. Those whose connections cannot be ended stay known, and refused.
func (p *Path) abort(ctx context.Context, q policy.Policy) {
	left, err := abort(p.gone(q))
	if err != nil {
		p.log.WarnContext(ctx, "connections from inside the tunnel are blocked, not ended", "err", err)
	}
	all := append(addresses(q), left...)
	if err := p.state.remember(all); err != nil {
		p.log.WarnContext(ctx, "the tunnel's addresses are not written down", "err", err)
	}
	p.had = all
}

// withdraw takes resolvers, routes and link away.
func (p *Path) withdraw(ctx context.Context) error {
	if err := p.names.restore(ctx); err != nil {
		return err
	}
	if err := route(policy.Policy{}); err != nil {
		return err
	}
	p.mu.Lock()
	p.wg = nil
	p.mu.Unlock()
	l := p.tunnel
	p.tunnel = nil
	if l != nil {
		l.close()
	}
	return removeLink()
}
