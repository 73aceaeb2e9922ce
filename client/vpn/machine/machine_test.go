package machine_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leap.example/client/vpn/machine"
	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/lease"
)

func start() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

func gateway(i int) machine.Gateway {
	return machine.Gateway{
		Name:  fmt.Sprintf("gw%d.example.org", i),
		Lease: []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 443)},
	}
}

func gateways(n int) []machine.Gateway {
	var list []machine.Gateway
	for i := range n {
		list = append(list, gateway(i+1))
	}
	return list
}

// granted returns a lease of g by routes, for life.
func granted(g machine.Gateway, routes int, now time.Time, life time.Duration) *machine.Lease {
	l := &machine.Lease{
		Gateway: g,
		ID:      lease.ID{1},
		Link: policy.Link{
			PrivateKey: lease.Key{1}, PeerKey: lease.Key{2}, PSK: lease.Key{3}, MTU: 1420,
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.64.0.2/32")},
			DNS:       []netip.Addr{netip.MustParseAddr("10.64.0.1")},
		},
		NotAfter:   now.Add(life),
		RenewAfter: now.Add(life / 2),
	}
	for i := range routes {
		r := machine.Route{Endpoint: netip.AddrPortFrom(g.Lease[0].Addr(), uint16(51820+i))}
		if i == routes-1 && routes > 1 {
			r.Wrap = &policy.Wrap{ServerName: g.Name, CA: []byte("pem"), Pair: policy.PairOf([]byte("pair"))}
		}
		l.Routes = append(l.Routes, r)
	}
	return l
}

// anyEvent draws an event, also such as no sane driver sends; its answers are
// to recent requests or to none.
func anyEvent(rt *rapid.T, seq uint64, now time.Time) machine.Event {
	some := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "n") }
	l := func() *machine.Lease {
		life := time.Duration(rapid.IntRange(-10, 3600).Draw(rt, "life")) * time.Second
		return granted(gateway(some(12)+1), some(7)+1, now, life)
	}
	seq = uint64(max(0, int(seq)-some(2)))
	switch some(15) {
	case 0:
		up := machine.Up{Services: []netip.AddrPort{netip.MustParseAddrPort("198.51.100.1:4430")}}
		if some(2) == 0 {
			up.Lease = l()
		}
		return up
	case 1:
		return machine.Down{}
	case 2:
		return machine.Set{Options: machine.Options{Lockdown: some(2) == 0, LAN: some(2) == 0, Exclude: make([]uint32, some(80))}}
	case 3:
		return machine.OpenPortal{Portal: &policy.Portal{UID: uint32(some(3)), Until: now.Add(time.Duration(some(20)) * time.Minute)}}
	case 4:
		return machine.OpenPortal{}
	case 5:
		return machine.Choose{}
	case 6:
		return machine.Found{Seq: seq, Gateways: gateways(some(12)), Measure: some(2) == 0}
	case 7, 8:
		return machine.Granted{Seq: seq, Lease: l(), Cached: some(2) == 0}
	case 9:
		return machine.Failed{Seq: seq, Fault: machine.Fault(some(4)), Problem: "no luck"}
	case 10, 11:
		return machine.Handshake{}
	case 12:
		return machine.Silent{}
	case 13:
		return machine.Unapplied{Problem: "no luck"}
	}
	return machine.Network{}
}

// lastSeq returns the number of the newest request among actions, or seq.
func lastSeq(actions []machine.Action, seq uint64) uint64 {
	for _, a := range actions {
		switch a := a.(type) {
		case machine.Discover:
			seq = a.Seq
		case machine.Measure:
			seq = a.Seq
		case machine.Enroll:
			seq = a.Seq
		case machine.Renew:
			seq = a.Seq
		}
	}
	return seq
}

// TestNothingLeaks: from any state, after any events at any times, no state but
// Disconnected without lockdown lets a packet out beside the tunnel, and no
// tunnel is used after its lease.
func TestNothingLeaks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s machine.State
		var seq uint64
		now := start()
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(rt, "seconds")) * time.Second)
			e := anyEvent(rt, seq, now)
			var actions []machine.Action
			s, actions = s.Step(now, e)
			seq = lastSeq(actions, seq)
			p := s.Policy()
			if err := p.Validate(now); err != nil {
				rt.Fatalf("after %T in %v: %v", e, s.Phase, err)
			}
			open := s.Phase == machine.Disconnected && !s.Options.Lockdown
			if (p.Mode == policy.Open) != open {
				rt.Fatalf("after %T in %v, lockdown %v: traffic is %v", e, s.Phase, s.Options.Lockdown, p.Mode)
			}
			if p.Mode == policy.Tunnel && (s.Lease == nil || !now.Before(s.Lease.NotAfter)) {
				rt.Fatalf("after %T: a tunnel without a valid lease", e)
			}
			if s.Phase == machine.Connected && p.Mode != policy.Tunnel {
				rt.Fatalf("after %T: connected, but traffic is %v", e, p.Mode)
			}
			if s.Phase == machine.Disconnected && (s.Lease != nil || len(p.Reach) > 0) {
				rt.Fatalf("after %T: disconnected, but reaching %v", e, p.Reach)
			}
			if p.Portal != nil && (p.Portal.Until.After(now.Add(policy.MaxPortal)) || !now.Before(p.Portal.Until)) {
				rt.Fatalf("after %T: the portal is open until %v", e, p.Portal.Until)
			}
			if s.Phase == machine.Blocked && s.Problem == "" {
				rt.Fatalf("after %T: blocked without a reason", e)
			}
		}
	})
}

// TestComesBack: whatever happened, once the world works again and the user
// wants it, the machine is Connected within two minutes, by nothing but ticks.
func TestComesBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s machine.State
		var seq uint64
		now := start()
		var actions []machine.Action
		step := func(e machine.Event) []machine.Action {
			s, actions = s.Step(now, e)
			seq = lastSeq(actions, seq)
			return actions
		}
		var due []machine.Action
		for range rapid.IntRange(0, 40).Draw(rt, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(rt, "seconds")) * time.Second)
			if got := step(anyEvent(rt, seq, now)); len(got) > 0 {
				due = got
			}
		}
		due = append(due, step(machine.Up{})...)
		for range 150 {
			for len(due) > 0 {
				a := due[0]
				due = due[1:]
				due = append(due, step(kind(a, now))...)
			}
			if s.Phase == machine.Connected {
				return
			}
			if s.Lease != nil && works(s) {
				due = append(due, step(machine.Handshake{})...)
			}
			now = now.Add(time.Second)
			due = append(due, step(machine.Tick{})...)
		}
		rt.Fatalf("after %v still %v: %s", now.Sub(start()), s.Phase, s.Problem)
	})
}

// works is a world in which only gateway 2 answers.
func works(s machine.State) bool { return s.Lease.Gateway.Name == gateway(2).Name }

// kind answers actions as that world does.
func kind(a machine.Action, now time.Time) machine.Event {
	switch a := a.(type) {
	case machine.Discover:
		return machine.Found{Seq: a.Seq, Gateways: gateways(3), Measure: true}
	case machine.Measure:
		return machine.Found{Seq: a.Seq, Gateways: a.Gateways}
	case machine.Enroll:
		if a.Gateway.Name == gateway(2).Name {
			return machine.Granted{Seq: a.Seq, Lease: granted(a.Gateway, 3, now, time.Hour)}
		}
		return machine.Failed{Seq: a.Seq, Problem: "nobody there"}
	case machine.Renew:
		if a.Lease.Gateway.Name == gateway(2).Name {
			return machine.Granted{Seq: a.Seq, Lease: granted(a.Lease.Gateway, 3, now, time.Hour)}
		}
		return machine.Failed{Seq: a.Seq, Fault: machine.Gone, Problem: "unknown"}
	}
	panic("no such action")
}

// A script is one machine under a clock of its own.
type script struct {
	t       *testing.T
	s       machine.State
	now     time.Time
	actions []machine.Action
}

func newScript(t *testing.T) *script { return &script{t: t, now: start()} }

func (c *script) step(e machine.Event) *script {
	c.t.Helper()
	c.s, c.actions = c.s.Step(c.now, e)
	return c
}

func (c *script) after(d time.Duration) *script {
	c.now = c.now.Add(d)
	return c.step(machine.Tick{})
}

// only returns the one action of the last step, which must be an A.
func only[A any](c *script) A {
	c.t.Helper()
	if len(c.actions) == 1 {
		if a, ok := c.actions[0].(A); ok {
			return a
		}
	}
	var a A
	c.t.Fatalf("the actions are %#v, want one %T", c.actions, a)
	return a
}

func (c *script) is(p machine.Phase) *script {
	c.t.Helper()
	if c.s.Phase != p {
		c.t.Fatalf("it is %v (%s), want %v", c.s.Phase, c.s.Problem, p)
	}
	return c
}

// connected brings it up by n gateways whose leases have routes.
func connected(t *testing.T, n, routes int) *script {
	t.Helper()
	c := newScript(t).step(machine.Up{})
	c.step(machine.Found{Seq: only[machine.Discover](c).Seq, Gateways: gateways(n)})
	a := only[machine.Enroll](c)
	c.step(machine.Granted{Seq: a.Seq, Lease: granted(a.Gateway, routes, c.now, 24*time.Hour)})
	return c.is(machine.Connecting).step(machine.Handshake{}).is(machine.Connected)
}

func TestColdStart(t *testing.T) {
	c := newScript(t).step(machine.Up{}).is(machine.Connecting)
	c.step(machine.Found{Seq: only[machine.Discover](c).Seq, Gateways: gateways(4), Measure: true})
	m := only[machine.Measure](c)
	if p := c.s.Policy(); len(p.Reach) != 4 || p.Mode != policy.Blocked {
		t.Errorf("while measuring: %v, %v", p.Mode, p.Reach)
	}
	slices.Reverse(m.Gateways)
	c.step(machine.Found{Seq: m.Seq, Gateways: m.Gateways})
	a := only[machine.Enroll](c)
	if a.Gateway.Name != "gw4.example.org" || a.New {
		t.Errorf("asked %+v", a)
	}
	c.step(machine.Granted{Seq: a.Seq - 1, Lease: granted(a.Gateway, 1, c.now, time.Hour)})
	if c.s.Lease != nil {
		t.Error("a late answer was taken")
	}
	c.step(machine.Granted{Seq: a.Seq, Lease: granted(a.Gateway, 1, c.now, time.Hour)}).is(machine.Connecting)
	if c.s.Policy().Mode != policy.Tunnel {
		t.Error("no tunnel to shake hands by")
	}
	c.step(machine.Handshake{}).is(machine.Connected)
	c.after(30 * time.Minute)
	r := only[machine.Renew](c)
	c.step(machine.Failed{Seq: r.Seq, Problem: "busy"}).is(machine.Connected).after(59 * time.Second)
	if len(c.actions) > 0 {
		t.Error("renewed again at once")
	}
	c.after(time.Second)
	c.step(machine.Granted{Seq: only[machine.Renew](c).Seq, Lease: granted(a.Gateway, 1, c.now, 2*time.Hour)}).is(machine.Connected)
	c.after(59 * time.Minute)
	if len(c.actions) > 0 {
		t.Error("renewed too soon")
	}
	c.step(machine.Down{}).is(machine.Disconnected)
	if c.s.Policy().Mode != policy.Open {
		t.Error("not open after all")
	}
}

func TestWarmStart(t *testing.T) {
	c := newScript(t)
	l := granted(gateway(1), 2, c.now, time.Hour)
	c.step(machine.Up{Lease: l}).is(machine.Connecting)
	if len(c.actions) > 0 || c.s.Policy().Mode != policy.Tunnel {
		t.Errorf("a cached lease is not used at once: %#v", c.actions)
	}
	c.after(4 * time.Second)
	r := only[machine.Renew](c) // Does it still know us?
	c.step(machine.Failed{Seq: r.Seq, Fault: machine.Unwilling}).after(7 * time.Second)
	if len(c.actions) > 0 {
		t.Errorf("asked again: %#v", c.actions)
	}
	c = newScript(t).step(machine.Up{Lease: l}).after(4 * time.Second)
	r = only[machine.Renew](c)
	c.step(machine.Failed{Seq: r.Seq, Fault: machine.Gone})
	if a := only[machine.Enroll](c); !a.New || a.Gateway.Name != l.Gateway.Name {
		t.Errorf("asked %+v", a)
	}
	c = newScript(t).step(machine.Up{Lease: granted(gateway(1), 2, start(), -time.Second)})
	only[machine.Discover](c)
}

// TestSilentGateway follows the order of tries to the end.
func TestSilentGateway(t *testing.T) {
	c := connected(t, 2, 3)
	c.step(machine.Silent{}).is(machine.Reconnecting)
	r := only[machine.Renew](c)
	c.step(machine.Granted{Seq: r.Seq, Lease: granted(gateway(1), 3, c.now, time.Hour)})
	for want := range 2 {
		c.after(machine.HandshakeTimeout).is(machine.Reconnecting)
		if c.s.Route != want+1 || len(c.actions) > 0 {
			t.Errorf("route %d, %v", c.s.Route, c.actions)
		}
	}
	if c.s.Policy().Tunnel.Wrap == nil {
		t.Error("the last route is not TLS")
	}
	c.after(machine.HandshakeTimeout)
	a := only[machine.Enroll](c)
	if a.Gateway.Name != "gw2.example.org" || c.s.Policy().Mode != policy.Tunnel {
		t.Errorf("then %+v, traffic %v", a, c.s.Policy().Mode)
	}
	c.step(machine.Failed{Seq: a.Seq, Problem: "refused: why"}).is(machine.Blocked)
	if c.s.Problem != "refused: why" || c.s.Policy().Mode != policy.Blocked {
		t.Errorf("problem %q", c.s.Problem)
	}
	c.after(time.Second).is(machine.Blocked)
	c.after(time.Second).is(machine.Connecting)
	if d := only[machine.Discover](c); d.Avoid != "gw2.example.org" {
		t.Errorf("avoids %q", d.Avoid)
	}
}

func TestDeadGatewayIsLeftAtOnce(t *testing.T) {
	c := connected(t, 2, 5).step(machine.Silent{})
	c.step(machine.Failed{Seq: only[machine.Renew](c).Seq, Problem: "refused"})
	a := only[machine.Enroll](c)
	if a.Gateway.Name != "gw2.example.org" {
		t.Errorf("then %+v", a)
	}
	c.step(machine.Granted{Seq: a.Seq, Lease: granted(a.Gateway, 1, c.now, time.Hour)}).step(machine.Handshake{}).is(machine.Connected)
}

func TestOldTunnelComesBack(t *testing.T) {
	c := connected(t, 2, 5).step(machine.Silent{})
	c.step(machine.Failed{Seq: only[machine.Renew](c).Seq, Problem: "refused"})
	a := only[machine.Enroll](c)
	c.step(machine.Handshake{}).is(machine.Connected)
	c.step(machine.Granted{Seq: a.Seq, Lease: granted(a.Gateway, 1, c.now, time.Hour)})
	if c.s.Lease.Gateway.Name != "gw1.example.org" {
		t.Error("moved without need")
	}
}

func TestChoiceKeepsTunnel(t *testing.T) {
	c := connected(t, 1, 1).step(machine.Choose{}).is(machine.Connected)
	c.step(machine.Found{Seq: only[machine.Discover](c).Seq, Gateways: []machine.Gateway{gateway(2)}}).is(machine.Connected)
	a := only[machine.Enroll](c)
	c.step(machine.Failed{Seq: a.Seq, Problem: "full"}).is(machine.Connected)
	if c.s.Problem != "full" {
		t.Errorf("problem %q", c.s.Problem)
	}
	c.step(machine.Choose{})
	c.step(machine.Found{Seq: only[machine.Discover](c).Seq, Gateways: []machine.Gateway{gateway(1)}}).is(machine.Connected)
	if len(c.actions) > 0 {
		t.Errorf("left for itself: %#v", c.actions)
	}
}

func TestExpiry(t *testing.T) {
	c := connected(t, 1, 1)
	c.after(12 * time.Hour)
	only[machine.Renew](c)
	c.now = c.now.Add(13 * time.Hour) // Suspended.
	c.step(machine.Network{})
	if c.s.Policy().Mode != policy.Blocked {
		t.Errorf("traffic is %v", c.s.Policy().Mode)
	}
	only[machine.Discover](c)
}

func TestPauses(t *testing.T) {
	c := newScript(t).step(machine.Up{})
	var pauses []time.Duration
	for range 8 {
		c.step(machine.Failed{Seq: only[machine.Discover](c).Seq, Problem: "offline"}).is(machine.Blocked)
		pauses = append(pauses, c.s.Deadline.Sub(c.now))
		c.after(pauses[len(pauses)-1]).is(machine.Connecting)
	}
	s := time.Second
	if want := []time.Duration{2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s, 60 * s}; !slices.Equal(pauses, want) {
		t.Errorf("pauses %v, want %v", pauses, want)
	}
	c.step(machine.Failed{Seq: only[machine.Discover](c).Seq, Problem: "offline"}).step(machine.Network{}).is(machine.Connecting)
}

func TestUnanswered(t *testing.T) {
	c := newScript(t).step(machine.Up{}).after(44 * time.Second).is(machine.Connecting)
	c.after(time.Second).is(machine.Blocked)
}

func TestForbidden(t *testing.T) {
	c := newScript(t).step(machine.Up{})
	c.step(machine.Found{Seq: only[machine.Discover](c).Seq, Gateways: gateways(3)})
	c.step(machine.Failed{Seq: only[machine.Enroll](c).Seq, Fault: machine.Forbidden, Problem: "no certificate"}).is(machine.Blocked)
}

func TestLockdownAndPortal(t *testing.T) {
	c := newScript(t).step(machine.OpenPortal{Portal: &policy.Portal{UID: 7, Until: start().Add(time.Minute)}})
	if c.s.Portal != nil {
		t.Error("a portal window in open traffic")
	}
	c.step(machine.Set{Options: machine.Options{Lockdown: true}})
	if c.s.Policy().Mode != policy.Blocked {
		t.Error("lockdown is open")
	}
	c.step(machine.OpenPortal{Portal: &policy.Portal{UID: 7, Until: start().Add(time.Hour)}})
	if w := c.s.Policy().Portal; w == nil || w.Until != start().Add(policy.MaxPortal) {
		t.Errorf("portal %+v", w)
	}
	c.step(machine.Up{})
	if c.s.Policy().Portal == nil {
		t.Error("closed by connecting, which may need it")
	}
	c.step(machine.Down{}).step(machine.Set{})
	if c.s.Portal != nil || c.s.Policy().Mode != policy.Open {
		t.Error("open traffic with a portal window")
	}
}
