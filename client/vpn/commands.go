package vpn

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"leap.example/client/control"
	"leap.example/client/vpn/machine"
	"leap.example/client/vpn/policy"
	"leap.example/client/vpn/userspace"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
)

// newPath opens the Path by a proxy, or that of the helper.
func (v *VPN) newPath(ctx context.Context, proxy netip.AddrPort) (policy.Path, error) {
	if !proxy.IsValid() {
		return v.cfg.Helper(ctx)
	}
	p, err := userspace.New(ctx, userspace.Config{Proxy: proxy, Log: v.log})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// VPNUp implements control.VPN.
func (v *VPN) VPNUp(ctx context.Context, q control.VPNUpRequest) error {
	var proxy netip.AddrPort
	if q.Proxy != "" {
		var err error
		if proxy, err = netip.ParseAddrPort(q.Proxy); err != nil {
			return problem.Invalid.Errorf("%q is no address of a proxy: write IP:PORT, like 127.0.0.1:1080", q.Proxy)
		}
	}
	if _, err := v.cfg.Provider(); err != nil {
		return problem.Unavailable.Errorf("not connected: %s", err)
	}
	return v.do(ctx, func(ctx context.Context, l *loop) error {
		if l.state.Phase != machine.Disconnected && v.prefs.Load().Proxy != proxy {
			return problem.Exist.Errorf(`the VPN is up in another way: "leapc vpn down" first`)
		}
		if v.prefs.Load().Lockdown && proxy.IsValid() {
			return problem.Invalid.Errorf(`lockdown needs the helper: "leapc vpn up" without --proxy, or "leapc vpn lockdown off"`)
		}
		if err := v.change(func(s *settings) { s.Up, s.Proxy, s.Account, s.Classical = true, proxy, q.Account, q.Classical }); err != nil {
			return err
		}
		l.tellStart(ctx, v.prefs.Load()) // Without a helper, up says so.
		l.broken, l.later = "", time.Time{}
		if err := l.up(ctx); err != nil {
			l.later = time.Now().Add(beginPause)
			return errors.Join(err, v.change(func(s *settings) { s.Up = false }))
		}
		return nil
	})
}

// VPNDown implements control.VPN.
func (v *VPN) VPNDown(ctx context.Context) error {
	return v.do(ctx, func(ctx context.Context, l *loop) error {
		l.broken, l.later = "", time.Time{}
		if l.cancel != nil {
			l.cancel()
		}
		l.closeKeeper()
		if err := v.change(func(s *settings) { s.Up = false }); err != nil {
			return err
		}
		l.step(ctx, machine.Down{})
		// Whatever happened before, the helper may still block.
		if l.way.Load() == nil && !l.prefs.Load().Lockdown {
			if mode, err := l.guarded(ctx); err == nil && mode == policy.Open || err != nil && l.prefs.Load().Proxy.IsValid() {
				l.outside, l.later = policy.Open.String(), time.Now().Add(adoptPause)
				return nil
			}
		}
		if l.way.Load() == nil {
			path, err := l.newPath(ctx, netip.AddrPort{})
			if errors.Is(err, problem.NotExist) {
				l.outside = control.VPNUnknown
				return nil
			}
			if err != nil {
				return err
			}
			l.way.Store(&way{Path: path})
			l.apply(ctx)
		}
		if l.way.Load() != nil && !l.prefs.Load().Lockdown {
			return problem.Internal.Errorf("traffic is still blocked: %s", l.state.Problem)
		}
		return nil
	})
}

// VPNUse implements control.VPN.
func (v *VPN) VPNUse(ctx context.Context, q control.VPNChoice) error {
	use := strings.TrimSpace(q.Use)
	if strings.EqualFold(use, useAuto) {
		use = ""
	}
	if use != "" {
		if _, err := v.known(ctx, use); err != nil {
			return err
		}
	}
	return v.do(ctx, func(ctx context.Context, l *loop) error {
		if err := v.change(func(s *settings) { s.Use = use }); err != nil {
			return err
		}
		l.step(ctx, machine.Choose{})
		return nil
	})
}

// known returns the gateways that a choice names, of which there is at least
// one.
func (v *VPN) known(ctx context.Context, use string) (provider.GatewayList, error) {
	v.api(ctx)
	all, _, err := v.gateways(ctx, daily)
	if err != nil {
		return all, err
	}
	l := sorted(chosen(all, use))
	if len(l.Gateways) == 0 {
		return l, problem.NotExist.Errorf(`no gateway is called, or is at, %q: see "leapc vpn gateways"`, use)
	}
	return l, nil
}

// VPNGateways implements control.VPN.
func (v *VPN) VPNGateways(ctx context.Context, q control.VPNGatewaysRequest) (control.VPNGateways, error) {
	maxAge := daily
	if q.Refresh {
		maxAge = 0
	}
	v.api(ctx)
	l, at, err := v.gateways(ctx, maxAge)
	if err != nil {
		return control.VPNGateways{}, err
	}
	l = sorted(l)
	var list []machine.Gateway
	for _, g := range l.Gateways {
		list = append(list, machineGateway(g))
	}
	far := map[string]time.Duration{}
	if q.Measure {
		far = v.measure(ctx, list)
	}
	a := control.VPNGateways{Schema: control.Schema, Fetched: at, Gateways: []control.VPNGateway{}}
	current := v.status.Load().Gateway
	for _, g := range l.Gateways {
		place := l.Locations[g.Location]
		one := control.VPNGateway{
			Host: g.Host, Location: g.Location, City: place.Name, Country: place.CountryCode, Healthy: g.Healthy, Load: g.Load,
			IPv6: g.IPv6, Private: g.Private, Current: g.Host == current,
		}
		for _, plan := range g.Plans {
			one.Plans = append(one.Plans, string(plan))
		}
		if d, ok := far[g.Host]; ok && d != unreachable {
			ms := d.Milliseconds()
			one.LatencyMS = &ms
		}
		a.Gateways = append(a.Gateways, one)
	}
	return a, nil
}

// VPNSet implements control.VPN.
func (v *VPN) VPNSet(ctx context.Context, q control.VPNSettings) error {
	if q.Exclude != nil && (len(*q.Exclude) > policy.MaxExclude || slices.Contains(*q.Exclude, 0)) {
		return problem.Invalid.Errorf("at most %d users can be outside the tunnel, and never root", policy.MaxExclude)
	}
	return v.do(ctx, func(ctx context.Context, l *loop) error {
		next := *v.prefs.Load()
		take(&next.Lockdown, q.Lockdown)
		take(&next.Autoconnect, q.Autoconnect)
		take(&next.LAN, q.LAN)
		take(&next.Exclude, q.Exclude)
		take(&next.Invite, q.Invite)
		if err := l.guard(ctx, q, &next); err != nil {
			return err
		}
		if err := v.change(func(s *settings) { *s = next }); err != nil {
			return err
		}
		l.broken = ""
		l.step(ctx, machine.Set{Options: options(&next)})
		if q.Invite != nil {
			l.step(ctx, machine.Choose{})
		}
		return nil
	})
}

func take[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// VPNPortal implements control.VPN.
func (v *VPN) VPNPortal(ctx context.Context, q control.VPNPortal) error {
	longest := int(policy.MaxPortal / time.Second)
	if q.Seconds < 0 || q.Seconds > longest || q.Seconds > 0 && q.UID == 0 {
		return problem.Invalid.Errorf("a portal window is open for 1 to %d seconds, for a user other than root", longest)
	}
	return v.do(ctx, func(ctx context.Context, l *loop) error {
		if q.Seconds == 0 {
			l.step(ctx, machine.OpenPortal{})
			return nil
		}
		if l.state.Policy().Mode == policy.Open {
			return problem.Invalid.Errorf("traffic is not blocked: no portal window is needed")
		}
		if w := l.way.Load(); w != nil && w.proxy.IsValid() {
			return problem.Invalid.Errorf("with --proxy only the proxy is guarded: open the portal's page without the proxy")
		}
		until := time.Now().Add(time.Duration(q.Seconds) * time.Second).Round(0)
		l.step(ctx, machine.OpenPortal{Portal: &policy.Portal{UID: q.UID, Until: until}})
		return nil
	})
}

// VPNImport implements control.VPN.
func (v *VPN) VPNImport(_ context.Context, q control.VPNCertificate) error {
	v.asking.Lock()
	defer v.asking.Unlock()
	return v.takeCertificate([]byte(q.PEM))
}
