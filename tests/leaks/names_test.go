package leaks_test

import (
	"net/netip"
	"os"
	"os/exec"
	"time"
)

// names: questions about names go to the tunnel's resolvers or nowhere.
func names(w *world) {
	w.startHelper()
	tunnel := w.policy(w.gateways[0])
	w.connect(tunnel)
	if !w.control {
		w.resolves("with the tunnel's resolver")
	}
	var direct []shot
	for _, to := range []string{router, server4, "2001:db8:1::1", "fe80::1"} {
		for _, proto := range []string{"udp", "tcp"} {
			direct = append(direct, shot{proto, netip.AddrPortFrom(netip.MustParseAddr(to), 53), "eth0"})
		}
	}
	direct = append(direct, shot{"udp", netip.AddrPortFrom(netip.MustParseAddr(router), 53), ""})
	w.shooting("another server, asked directly", w.shooter, direct, func() { w.pause(300 * time.Millisecond) })
	var local []shot
	for _, to := range []string{"224.0.0.251:5353", "224.0.0.252:5355", "[ff02::fb]:5353", "[ff02::1:3]:5355"} {
		local = append(local, shot{"udp", netip.MustParseAddrPort(to), "eth0"})
	}
	local = append(local, shot{"tcp", netip.MustParseAddrPort(router + ":5355"), "eth0"})
	w.shooting("mDNS and LLMNR", w.shooter, local, func() { w.pause(300 * time.Millisecond) })

	// The local network may be reached, but its resolver may not.
	lan := tunnel
	lan.LAN = true
	w.apply(lan)
	private := []shot{
		{"udp", netip.AddrPortFrom(netip.MustParseAddr("10.99.0.1"), 53), "eth0"},
		{"udp", netip.MustParseAddrPort("224.0.0.252:5355"), "eth0"},
		{"udp", netip.MustParseAddrPort("[fe80::1]:53"), "eth0"},
	}
	w.shooting("resolvers of a reachable LAN", w.shooter, private, func() { w.pause(300 * time.Millisecond) })
	w.apply(tunnel)

	w.shooting("resolv.conf overwritten", w.shooter, nil, func() {
		for range 3 {
			w.must(os.WriteFile("/etc/resolv.conf.dhcp", []byte("nameserver "+router+"\noptions timeout:1 attempts:1\n"), 0o644))
			w.must(os.Rename("/etc/resolv.conf.dhcp", "/etc/resolv.conf"))
			w.lookup()
		}
	})
	if !w.control {
		w.until("the tunnel's resolver is written again", func() bool {
			text, err := os.ReadFile("/etc/resolv.conf")
			return err == nil && string(text) != "" && text[0] == '#'
		})
		w.resolves("after resolv.conf was overwritten")
	}
}

// lookup asks for a name as programs do: Go's and, where its program is there,
// the C library's. Whether there is an answer is not its matter.
func (w *world) lookup() (answered bool) {
	w.Helper()
	commands := []*exec.Cmd{w.role("resolve", nil)}
	if path, err := exec.LookPath("getent"); err == nil {
		commands = append(commands, exec.Command(path, "ahostsv4", "www.example.org"))
	} else {
		w.Log("LOUD: getent is not there: the C library's resolver is not tried")
	}
	answered = true
	for _, cmd := range commands {
		p := w.start(w.client, cmd)
		p.dead = true
		_ = p.Wait()
		answered = answered && p.said(server4)
	}
	return answered
}

func (w *world) resolves(when string) {
	w.Helper()
	if !w.lookup() {
		w.Errorf("no name is found %s", when)
	}
}
