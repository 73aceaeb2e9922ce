package leaks_test

import (
	"net"
	"net/netip"
	"syscall"
	"time"

	"leap.example/client/vpn/policy"
)

// ends: connections that were made inside a tunnel end with it. Linux lets a
// socket keep an address that the machine has no more, and IPv6 sends from it.
func ends(w *world) {
	all := netip.MustParseAddrPort
	w.startHelper()
	tunnel := w.policy(w.gateways[0])
	for _, p := range []struct {
		what string
		end  func()
	}{
		{"after down", func() { w.apply(policy.Policy{Mode: policy.Open}) }},
		{"after a crash of the helper and down", func() {
			w.helper.end(syscall.SIGKILL)
			w.startHelper()
			w.apply(policy.Policy{Mode: policy.Open})
		}},
		{"in a portal window", func() {
			w.apply(policy.Policy{Portal: &policy.Portal{UID: 4300, Until: time.Now().Add(time.Minute)}, LAN: true})
		}},
		{"of a user who goes outside now", func() {
			next := w.policy(w.gateways[1])
			next.Exclude = []uint32{4300}
			w.apply(next)
		}},
	} {
		w.wan.permit(func(f frame) bool { return true })
		w.apply(policy.Policy{Mode: policy.Blocked})
		w.connect(tunnel)
		w.until("the tunnel carries IPv6", func() bool { return w.through("tcp6", server6) })
		guest := w.actor(w.client, 4300)
		var open []net.Conn
		guest.do(func() {
			for network, to := range map[string]netip.AddrPort{"tcp6": all("[" + server6 + "]:443"), "udp6": all("[" + server6 + "]:53"), "tcp": all(server4 + ":443")} {
				c, err := net.DialTimeout(network, to.String(), 5*time.Second)
				if err != nil {
					w.Errorf("%s %s: %v", p.what, network, err)
					continue
				}
				open = append(open, c)
			}
		})
		// What leaves in the clear now is nobody's business, but for the tunnel's addresses.
		w.wan.permit(func(f frame) bool { return !tunnelNet.Contains(f.src) && !tunnelNet6.Contains(f.src) })
		w.quiet()
		if w.control { // As with a client that takes its link away, and ends no connection.
			w.helper.end(syscall.SIGKILL)
			w.client.Do(w.T, func() error { _ = onTunnel(deleteLink); return nil })
			w.disarm(policy.Policy{})
		} else {
			p.end()
		}
		for range 10 {
			for _, c := range open {
				_, _ = c.Write([]byte("as any program would go on"))
			}
			w.pause(30 * time.Millisecond)
		}
		w.count(p.what)
		for _, c := range open {
			c.Close()
		}
		if w.control {
			w.startHelper()
		}
	}
}
