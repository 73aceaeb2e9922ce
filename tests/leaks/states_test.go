package leaks_test

import (
	"net/netip"
	"syscall"
	"time"

	"leap.example/client/vpn/machine"
	"leap.example/client/vpn/policy"
)

// states: what the machine's states mean for traffic, and the ways between them.
func states(w *world) {
	w.startHelper()
	tunnel := w.policy(w.gateways[0])
	link := *tunnel.Tunnel
	link.Endpoint = netip.AddrPort{}
	dead := netip.MustParseAddrPort("192.0.2.1:51999")
	gateway := machine.Gateway{Name: "gw", Lease: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:443")}}
	leased := &machine.Lease{Gateway: gateway, Link: link, Routes: []machine.Route{{Endpoint: tunnel.Tunnel.Endpoint}}}
	all := []struct {
		name  string
		state machine.State
	}{
		{"lockdown", machine.State{Options: machine.Options{Lockdown: true}}},
		{"connecting", machine.State{Phase: machine.Connecting, Gateways: []machine.Gateway{gateway}}},
		{"connected", machine.State{Phase: machine.Connected, Gateways: []machine.Gateway{gateway}, Lease: leased}},
		{"reconnecting", machine.State{Phase: machine.Reconnecting, Lease: leased}},
		{"blocked", machine.State{Phase: machine.Blocked, Problem: "no gateway answers"}},
		{"lockdown again", machine.State{Options: machine.Options{Lockdown: true}}},
	}
	if w.control { // That the observer sees each kind of packet.
		w.apply(policy.Policy{})
		w.quiet()
		w.shooter.volley(everything())
		w.until("each packet of the matrix is seen", func() bool { return w.wan.sees(everything()) })
		w.shooter.volley(nil)
	}
	w.apply(all[0].state.Policy())
	for _, s := range all {
		p := s.state.Policy()
		if p.Tunnel != nil && w.control {
			// A tunnel that is dead, and a client that gives it up for the bare network.
			p.Tunnel.Endpoint = dead
			w.step(s.name, func() { w.apply(p); w.apply(policy.Policy{}) })
			continue
		}
		w.step(s.name, func() {
			w.apply(p)
			if s.state.Phase == machine.Connected {
				w.works("a connection in the state connected")
			}
			w.pause(200 * time.Millisecond)
		})
	}
	if w.control {
		return
	}
	w.step("there and back", func() {
		for range 5 {
			for _, s := range all {
				w.apply(s.state.Policy())
			}
		}
	})
}

// sees reports whether every shot has been seen.
func (o *observer) sees(shots []shot) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range shots {
		found := false
		for _, f := range o.seen {
			found = found || f.dst == s.to.Addr() && f.dport == s.to.Port() && protocols[s.proto][s.to.Addr().Is6()] == f.proto
		}
		if !found {
			return false
		}
	}
	return true
}

var protocols = map[string]map[bool]byte{
	"tcp":  {false: syscall.IPPROTO_TCP, true: syscall.IPPROTO_TCP},
	"udp":  {false: syscall.IPPROTO_UDP, true: syscall.IPPROTO_UDP},
	"icmp": {false: syscall.IPPROTO_ICMP, true: syscall.IPPROTO_ICMPV6},
}

// kills: the processes end, in every way that they can.
func kills(w *world) {
	w.startHelper()
	tunnel := w.policy(w.gateways[0])
	w.connect(tunnel)
	w.step("kill -9 of the daemon", func() {
		daemon := w.start(w.client, w.role("daemon", tunnel))
		w.until("the daemon has asked", func() bool { return daemon.said("applied") })
		w.disarm(tunnel)
		daemon.end(syscall.SIGKILL)
		if w.control { // Without it, the client's tunnel ends.
			w.helper.end(syscall.SIGKILL)
		} else {
			w.works("the tunnel outlives the daemon")
		}
	})
	if w.control {
		w.startHelper()
		w.connect(tunnel)
	}
	w.step("kill -9 of the helper", func() {
		w.helper.end(syscall.SIGKILL)
		w.pause(300 * time.Millisecond)
		w.startHelper()
		w.disarm(policy.Policy{})
		w.pause(300 * time.Millisecond)
		w.connect(tunnel)
	})
	w.step("kill -9 of both", func() {
		daemon := w.start(w.client, w.role("daemon", tunnel))
		w.until("the daemon has asked", func() bool { return daemon.said("applied") })
		w.disarm(tunnel)
		daemon.end(syscall.SIGKILL)
		w.helper.end(syscall.SIGKILL)
		w.pause(300 * time.Millisecond)
		w.startHelper()
		w.disarm(policy.Policy{})
		w.connect(tunnel)
	})
	w.step("no memory for the helper", func() {
		w.starve(w.helper)
		w.pause(300 * time.Millisecond)
		w.startHelper()
		w.disarm(policy.Policy{})
		w.connect(tunnel)
	})
	w.step("SIGTERM of the helper", func() {
		w.helper.end(syscall.SIGTERM)
		w.disarm(policy.Policy{})
		w.pause(300 * time.Millisecond)
	})
	if code := w.helper.ProcessState.ExitCode(); code != 143 {
		w.Errorf("after SIGTERM the helper's status is %d, want 143", code)
	}
}
