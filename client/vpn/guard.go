package vpn

import (
	"context"
	"errors"
	"net/netip"

	"leap.example/client/control"
	"leap.example/services/protocol/problem"
)

// A bootBlocker is a Path that can block traffic from the start of the
// computer on.
type bootBlocker interface {
	BlockAtBoot(ctx context.Context, block bool) error
}

// fromStart reports whether traffic is to be blocked from the start of the
// computer on: where a daemon will come that lets it out by the helper, or
// nobody is to.
func (s *settings) fromStart() bool { return s.Lockdown || s.Autoconnect && !s.Proxy.IsValid() }

// guardStart tells the helper about the start of the computer. Without a helper
// there is nothing to tell, unless it is to guard: problem.NotExist.
func (v *VPN) guardStart(ctx context.Context, s *settings) error {
	path, err := v.newPath(ctx, netip.AddrPort{})
	if errors.Is(err, problem.NotExist) && !s.fromStart() {
		return nil
	}
	if err != nil {
		return err
	}
	if b, ok := path.(bootBlocker); ok {
		err = b.BlockAtBoot(ctx, s.fromStart())
	}
	return errors.Join(err, path.Close())
}

// tellStart is guardStart where its failure is no failure of what is done: the
// helper may be another user's.
func (v *VPN) tellStart(ctx context.Context, s *settings) {
	if err := v.guardStart(ctx, s); err != nil {
		v.log.Warn("the helper was not told about the start of the computer", "err", err)
	}
}

// guard prepares lockdown and the start of the computer, which only the helper
// can guard.
func (l *loop) guard(ctx context.Context, q control.VPNSettings, next *settings) error {
	if q.Lockdown == nil && q.Autoconnect == nil {
		return nil
	}
	if next.Proxy.IsValid() && next.Lockdown {
		return problem.Invalid.Errorf(`lockdown needs the helper, and the last "leapc vpn up" used a proxy: install it with "sudo leapc vpn-helper install", then "leapc vpn down" and "leapc vpn up"`)
	}
	if next.Proxy.IsValid() {
		l.tellStart(ctx, next)
	} else if err := l.guardStart(ctx, next); err != nil {
		return errNoHelper(err)
	}
	if next.Lockdown {
		return l.open(ctx)
	}
	return nil
}
