package leaks_test

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/vpn/policy"
)

// TestHoles: what the policy lets out beside the tunnel gets out, and nothing
// else does.
func TestHoles(t *testing.T) {
	nettest.Need(t)
	w := newWorld(t, false)
	w.startHelper()
	tunnel := w.policy(w.gateways[0])
	there := []shot{
		{"tcp", netip.AddrPortFrom(netip.MustParseAddr(private), 4444), ""},
		{"udp", netip.AddrPortFrom(netip.MustParseAddr(private), 4444), ""},
		{"icmp", netip.AddrPortFrom(netip.MustParseAddr(private), 0), ""},
		{"udp", netip.MustParseAddrPort("224.0.0.251:5353"), "eth0"},
	}

	t.Run("LAN", func(t *testing.T) {
		w.client.Do(t, func() error { return addRoute("eth0", "10.99.0.0/24", router, 0) })
		lan := tunnel
		lan.LAN = true
		for _, p := range []policy.Policy{lan, {LAN: true}} {
			w.apply(p)
			w.quiet()
			w.shooter.volley(there)
			w.until("the local network is reached", func() bool { return w.wan.sees(there) })
			w.shooter.volley(nil)
			w.wan.permit(func(f frame) bool { return f.wireguard() || f.dst.IsPrivate() || f.dst.IsMulticast() })
			w.shooting("public addresses beside it", w.shooter, matrix(server4, server6), func() { w.pause(200 * time.Millisecond) })
			w.wan.permit(frame.wireguard)
		}
	})
	t.Run("exclude", func(t *testing.T) {
		out := tunnel
		out.Exclude = []uint32{stranger}
		w.connect(out)
		public := []shot{
			{"tcp", netip.MustParseAddrPort(server4 + ":4444"), ""},
			{"udp", netip.MustParseAddrPort(server4 + ":53"), ""},
			{"tcp", netip.MustParseAddrPort("[" + server6 + "]:4444"), ""},
		}
		a := w.actor(w.client, stranger)
		w.quiet()
		a.volley(public)
		w.until("the user is outside", func() bool { return w.wan.sees(public) })
		// The answers come back, past a strict check of the way they take.
		before := w.arrived.Load()
		w.until("a connection outside is answered", func() bool {
			ok := false
			a.do(func() { ok = connects(netip.MustParseAddrPort(server4 + ":4444")) })
			return ok
		})
		if w.arrived.Load() != before {
			t.Error("it came by the tunnel")
		}
		a.volley(nil)
		w.wan.take(t)
		w.step("everybody else", func() { w.works("the tunnel beside it") })
	})
	w.apply(policy.Policy{Mode: policy.Open})
	if text, err := os.ReadFile("/etc/resolv.conf"); err != nil || string(text) != "nameserver "+router+"\noptions timeout:1 attempts:1\n" {
		t.Errorf("open, resolv.conf is %q, %v", text, err)
	}
}
