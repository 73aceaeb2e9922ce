package vpn

import (
	"context"
	"net/netip"
	"time"

	"leap.example/client/control"
	"leap.example/client/vpn/enroll"
	"leap.example/client/vpn/machine"
	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/lease"
)

// VPNStatus implements control.VPN.
func (v *VPN) VPNStatus(context.Context) control.VPNStatus { return *v.status.Load() }

// publish makes the status that others see.
func (l *loop) publish() {
	prefs := l.prefs.Load()
	s := control.VPNStatus{
		Schema: control.Schema, State: l.state.Phase.String(), Traffic: l.outside, Use: prefs.Use, Problem: l.state.Problem,
		Lockdown: prefs.Lockdown, Autoconnect: prefs.Autoconnect, LAN: prefs.LAN, Exclude: prefs.Exclude,
	}
	if s.Use == "" {
		s.Use = useAuto
	}
	if s.Problem == "" {
		s.Problem = l.broken
	}
	if w := l.way.Load(); w != nil {
		s.Path = control.VPNPathHelper
		if p, ok := w.Path.(interface{ Proxy() netip.AddrPort }); ok {
			s.Path, s.Proxy = control.VPNPathProxy, p.Proxy().String()
		}
		s.Traffic = policy.Blocked.String() // Of a policy that is not known nothing better can be said.
		switch {
		case l.applied != nil:
			s.Traffic = l.applied.Mode.String()
		case !l.retry.IsZero() && !w.proxy.IsValid():
			s.Traffic = control.VPNUnknown
		}
	}
	if l.state.Phase != machine.Disconnected && !l.since.IsZero() {
		s.Since = instant(l.since)
	}
	if l.state.Phase == machine.Blocked {
		s.NextTry = instant(l.state.Deadline)
	}
	if w := l.state.Portal; w != nil {
		s.PortalUntil = instant(w.Until)
	}
	if l.state.Lease != nil {
		l.publishTunnel(&s, l.state.Lease)
	}
	l.status.Store(&s)
}

// publishTunnel adds what is known of the lease and the tunnel.
func (l *loop) publishTunnel(s *control.VPNStatus, m *machine.Lease) {
	r := m.Routes[l.state.Route]
	s.Gateway, s.Endpoint, s.Transport = m.Gateway.Name, r.Endpoint.String(), string(lease.UDP)
	if r.Wrap != nil {
		s.Transport = string(lease.UDP2TCP)
	}
	s.LeaseEnds = instant(m.NotAfter)
	for _, a := range m.Link.Addresses {
		s.IPv6 = s.IPv6 || a.Addr().Is6()
	}
	s.Received, s.Sent = l.watch.stats.RX, l.watch.stats.TX
	if t := l.watch.stats.LastHandshake; !t.IsZero() {
		s.Handshake = instant(t)
	}
	if l.shown.id != m.ID || l.shown.psk != m.Link.PSK {
		l.shown = l.describe(m)
	}
	s.PostQuantum, s.Plan, s.RateBytes, s.Location, s.Country = l.shown.pq, l.shown.plan, l.shown.rate, l.shown.city, l.shown.country
}

// A shown is what of a lease only the files tell.
type shown struct {
	id            lease.ID
	psk           lease.Key
	pq            bool
	plan          string
	rate          int64
	city, country string
}

func (l *loop) describe(m *machine.Lease) shown {
	d := shown{id: m.ID, psk: m.Link.PSK}
	if g, ok := l.leaseOf(func(host string) bool { return host == m.Gateway.Name }); ok && g.Lease.LeaseID == m.ID {
		d.pq, d.plan, d.rate = g.Lease.PQ, string(g.Lease.Plan), g.Lease.RateBytesPerS
	}
	if list, _, err := l.keptGateways(); err == nil {
		for _, g := range list.Gateways {
			if g.Host == m.Gateway.Name {
				d.city, d.country = list.Locations[g.Location].Name, list.Locations[g.Location].CountryCode
			}
		}
	}
	return d
}

func instant(t time.Time) *time.Time {
	t = t.Round(0)
	return &t
}

// worked keeps what a success teaches: the lease and the route to begin with
// the next time.
func (l *loop) worked() {
	m := l.state.Lease
	kind := enroll.KindOf(m.Routes[l.state.Route])
	if l.state.Route == 0 && l.prefs.Load().Route == (enroll.Kind{}) {
		return // The gateway's own preference.
	}
	if l.prefs.Load().Route != kind {
		if err := l.change(func(s *settings) { s.Route = kind }); err != nil {
			l.log.Warn("the route that works is not kept", "err", err)
		}
	}
}
