package leaks_test

import (
	"encoding/binary"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/vpn/policy"
)

// plaintext: the gateway's own address and port are for the helper alone
// (MUL-02-002), and for traffic that goes through the tunnel.
func plaintext(w *world) {
	w.startHelper()
	tunnel := w.policy(w.gateways[0])
	tunnel.Reach = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:443")}
	w.connect(tunnel)
	stranger := w.actor(w.client, stranger)
	var shots []shot
	for _, card := range []string{"", "eth0"} {
		shots = append(shots, shot{"udp", endpoints[0], card}, shot{"tcp", endpoints[0], card}, shot{"tcp", tunnel.Reach[0], card}, shot{"udp", tunnel.Reach[0], card})
	}
	w.shooting("another user", stranger, shots, func() { w.pause(300 * time.Millisecond) })
	w.shooting("root without the mark", w.shooter, shots, func() { w.pause(300 * time.Millisecond) })
	if w.control {
		return
	}
	// And the helper's socket is not for everybody either.
	stranger.do(func() {
		if err := w.ask.Apply(w.Context(), policy.Policy{Mode: policy.Open}); err == nil {
			w.Error("a stranger opened the machine")
		}
	})
	w.reached(tunnel.Reach[0])
}

// reached: the user's daemon gets a socket outside the tunnel, which goes to the
// addresses of the policy alone.
func (w *world) reached(to netip.AddrPort) {
	w.Helper()
	w.wan.permit(func(f frame) bool { return f.wireguard() || f.dst == to.Addr() && f.dport == to.Port() })
	daemon := w.actor(w.client, user)
	daemon.do(func() {
		// Nobody listens there: that the answer is "refused" shows that it was reached.
		if c, err := w.ask.Dial(w.Context(), "tcp", to); err == nil {
			c.Close()
			w.Error("a closed port answers")
		} else if !strings.Contains(err.Error(), unix.ECONNREFUSED.Error()) {
			w.Errorf("dialling outside the tunnel: %v", err)
		}
		if _, err := w.ask.Dial(w.Context(), "tcp", netip.AddrPortFrom(to.Addr(), 22)); err == nil {
			w.Error("an address that the policy does not name was reached")
		}
	})
	if seen := w.wan.take(w.T); len(seen) > 0 {
		w.Errorf("dialling leaked %v", seen)
	}
}

// probes: nobody on the link learns whether this machine has the tunnel's
// address (CVE-2019-14899, and ARP).
func probes(w *world) {
	w.startHelper()
	tunnel := w.policy(w.gateways[0])
	w.connect(tunnel)
	to := w.gateways[0].addr4
	w.client.Do(w.T, func() error { // As distributions have it that let asymmetric routes be.
		return os.WriteFile("/proc/sys/net/ipv4/conf/all/rp_filter", []byte("0"), 0o644)
	})
	w.wan.permit(frame.idle) // An answer through the tunnel tells as much as one beside it.
	for _, p := range []struct {
		what  string
		frame []byte
	}{
		{"SYN/ACK to the tunnel's address", w.tcpFrame(netip.MustParseAddr(server4), to, 443, 40000, 0x12)},
		{"SYN to the tunnel's address", w.tcpFrame(netip.MustParseAddr(router), to, 40000, 22, 0x02)},
		{"ARP for the tunnel's address", w.arpFrame(to)},
	} {
		w.shooting(p.what, w.shooter, nil, func() {
			for range 5 {
				w.wan.inject(w.T, p.frame)
			}
			w.pause(200 * time.Millisecond)
		})
	}
}

func (w *world) ethernet(kind uint16) []byte {
	var there []byte
	w.client.Do(w.T, func() error { there = hardware(w.T, "eth0"); return nil })
	return binary.BigEndian.AppendUint16(append(append([]byte{}, there...), hardware(w.T, "cli0")...), kind)
}

func (w *world) arpFrame(target netip.Addr) []byte {
	b := w.ethernet(unix.ETH_P_ARP)
	copy(b, []byte{255, 255, 255, 255, 255, 255})
	b = append(b, 0, 1, 8, 0, 6, 4, 0, 1)
	b = append(append(b, hardware(w.T, "cli0")...), netip.MustParseAddr(router).AsSlice()...)
	return append(append(b, 0, 0, 0, 0, 0, 0), target.AsSlice()...)
}

func (w *world) tcpFrame(from, to netip.Addr, sport, dport uint16, flags byte) []byte {
	ip := []byte{0x45, 0, 0, 40, 0, 1, 0, 0, 64, unix.IPPROTO_TCP, 0, 0}
	ip = append(append(ip, from.AsSlice()...), to.AsSlice()...)
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	tcp := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, sport), dport)
	tcp = append(tcp, 0, 0, 0, 1, 0, 0, 0, 1, 5<<4, flags, 255, 255, 0, 0, 0, 0)
	pseudo := append(append(append([]byte{}, ip[12:20]...), 0, unix.IPPROTO_TCP, 0, byte(len(tcp))), tcp...)
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudo))
	return append(append(w.ethernet(unix.ETH_P_IP), ip...), tcp...)
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// forwarded: a container or a guest behind the machine has no way of its own.
func forwarded(w *world) {
	w.startHelper()
	container := nettest.NewPeer(w.T)
	w.cable(w.client, container)
	inside := w.actor(container, 0)
	tunnel := w.policy(w.gateways[0])
	var shots []shot
	for _, s := range everything() {
		s.card = ""
		shots = append(shots, s)
	}
	w.apply(policy.Policy{})
	w.shooting("while all is blocked", inside, shots, func() { w.pause(300 * time.Millisecond) })
	w.connect(tunnel)
	w.shooting("after the tunnel's link went", inside, shots, func() {
		w.client.Do(w.T, func() error { return onTunnel(deleteLink) })
		w.pause(300 * time.Millisecond)
	})
}
