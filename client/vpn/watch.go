package vpn

import (
	"context"
	"net/netip"
	"time"

	"leap.example/client/vpn/machine"
	"leap.example/client/vpn/policy"
)

const (
	// silence is how long a tunnel may answer nothing to what is sent by it:
	// WireGuard's peer answers within KEEPALIVE_TIMEOUT (10 s), with nothing if
	// it has nothing, and a new handshake would have come after 5 s more.
	silence = 15 * time.Second
	// doubt is after how much of it the gateway's lease port is tried: where
	// nobody listens any more, nobody need be waited for.
	doubt        = 3 * time.Second
	probeTimeout = 3 * time.Second
	// little is what a tunnel sends by itself, bytes: keepalives.
	little = 100
	// oldHandshake is after how long a session is over (REJECT_AFTER_TIME,
	// 180 s), and a keepalive later.
	oldHandshake = 210 * time.Second
)

// A watch follows the tunnel's figures.
type watch struct {
	begun time.Time    // Handshakes before do not count.
	stats policy.Stats // The last.
	sent  uint64       // TX when something came last.
	since time.Time    // Since when more than little was sent in vain. Zero: it was not.
	asked bool         // The lease port was tried since.
	probe chan bool    // Whether it answers.
}

// restart begins anew at now.
func (w *watch) restart(now time.Time) { *w = watch{begun: now.Round(0)} }

// look asks the Path what it knows and the tunnel how it is, and returns what that means; nil: nothing new.
func (l *loop) look(ctx context.Context, now time.Time) machine.Event {
	path := l.way.Load()
	if path == nil || l.applied == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	s, err := path.Stats(ctx)
	w := &l.watch
	if err != nil || l.epoch != 0 && s.Epoch != l.epoch { // The helper was started anew, and knows nothing.
		l.log.Warn("the helper was started anew, or cannot be asked: it is told the policy again", "err", err)
		l.applied, l.epoch = nil, s.Epoch
		return nil
	}
	l.epoch = s.Epoch
	if !l.tunnelled() {
		return nil
	}
	if s.RX != w.stats.RX || s.TX < w.stats.TX || w.stats.TX == 0 {
		w.sent, w.since, w.asked = s.TX, time.Time{}, false
	} else if s.TX > w.sent+little && w.since.IsZero() {
		w.since = now
	}
	w.stats = s
	switch {
	case l.state.Phase != machine.Connected:
		if s.LastHandshake.After(w.begun) {
			return machine.Handshake{}
		}
	case now.Sub(w.begun) > oldHandshake && now.Sub(s.LastHandshake) > oldHandshake,
		!w.since.IsZero() && now.Sub(w.since) >= silence:
		return machine.Silent{}
	case !w.since.IsZero() && now.Sub(w.since) >= doubt:
		return l.doubted()
	}
	return nil
}

// doubted tries the lease port of the gateway, once in each silence.
func (l *loop) doubted() machine.Event {
	w := &l.watch
	if !w.asked {
		w.asked = true
		probe, to := make(chan bool, 1), l.state.Lease.Gateway.Lease
		w.probe = probe
		l.actions.Go(func() { probe <- l.answers(to) })
		return nil
	}
	select {
	case ok := <-w.probe:
		if !ok {
			return machine.Silent{}
		}
	default:
	}
	return nil
}

// answers reports whether one of these addresses takes a connection.
func (v *VPN) answers(to []netip.AddrPort) bool {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	for _, a := range to {
		if c, err := v.dial(ctx, "tcp", a); err == nil {
			c.Close()
			return true
		}
	}
	return false
}
