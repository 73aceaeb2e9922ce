package systemd

import (
	"crypto/rand"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/vpn/helper"
	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/lease"
	"leap.example/tests/vendor"
)

// layer has Debian's systemd-resolved, which .ci/debian unpacks there: installed, it
// would take over the resolver of the machine that tests.
const layer = "../../bin/debian/usr"

// TestResolved has systemd-resolved ask the resolver of a network, until the VPN is up:
// then no question leaves but through the tunnel, and afterwards all is as it was.
func TestResolved(t *testing.T) {
	more, err := filepath.Abs(layer)
	must(t, err)
	if _, err := os.Stat(more + "/bin/resolvectl"); err != nil {
		t.Skip("LOUD: systemd-resolved is not unpacked (make debian): whether the VPN tells it about the tunnel was not tried")
	}
	nettest.Need(t)
	dir := t.TempDir()
	must(t, vendor.Build(t.Context(), "1.0.0", filepath.Join(dir, "leapc")))
	asked := network(t)
	m := boot(t, dir, more)
	m.does(m.command("systemctl", "start", "systemd-resolved.service"))
	m.does(m.command("resolvectl", "dns", "lan", "192.0.2.53"))
	m.does(m.command("cp", "/programs/leapc", "/opt/leapc"))
	m.does(m.command("/opt/leapc", "vpn-helper", "install"))
	// Resolved itself goes on for two minutes.
	query := func(name string) error {
		return m.command("timeout", "5", "resolvectl", "query", "--cache=no", name).Run()
	}

	plain := func(name string) { // Resolved hears of a link a little later.
		t.Helper()
		nettest.Until(t, name+" is found", func() bool { return query(name) == nil })
		if got := asked(); !strings.Contains(got, name+".") || strings.Contains(got, "secret") {
			t.Errorf("the network's resolver was asked for %q", got)
		}
	}
	plain("before.example")
	h := helper.NewClient("/proc/" + strconv.Itoa(m.init) + "/root" + helper.Socket)
	nettest.Until(t, "the helper answers", func() bool {
		_, err := h.Program(t.Context())
		return err == nil
	})
	must(t, h.Apply(t.Context(), tunnel()))
	said := m.does(m.command("resolvectl", "status", "leap0"))
	for _, want := range []string{"10.64.0.1", "~."} {
		if !strings.Contains(said, want) {
			t.Errorf("resolved does not know %s: %s", want, said)
		}
	}
	sent := tunnelled(t)
	if err := query("secret.example"); err == nil { // Nobody answers in this tunnel.
		t.Error("somebody has answered")
	}
	if got := asked(); got != "" {
		t.Errorf("beside the tunnel it was asked for %q", got)
	}
	if tunnelled(t) == sent {
		t.Error("nothing went into the tunnel")
	}

	must(t, h.Apply(t.Context(), policy.Policy{Mode: policy.Open}))
	plain("after.example")
}

// network is a LAN with a resolver. It returns what tells for which names that one was
// asked since the last time.
func network(t *testing.T) (asked func() string) {
	t.Helper()
	p := nettest.NewPeer(t)
	p.Veth(t, "lan", "far", "192.0.2.53/24")
	lan, err := netlink.LinkByName("lan")
	must(t, err)
	own, err := netlink.ParseAddr("192.0.2.2/24")
	must(t, err)
	must(t, netlink.AddrAdd(lan, own))
	must(t, netlink.LinkSetUp(lan))
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: lan.Attrs().Index, Gw: net.ParseIP("192.0.2.53")}))
	var conn net.PacketConn
	p.Do(t, func() (err error) {
		conn, err = net.ListenPacket("udp4", "192.0.2.53:53")
		return err
	})
	var mu sync.Mutex
	var names []string
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		mu.Lock()
		names = append(names, q.Question[0].Name)
		mu.Unlock()
		r := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			r.Answer = append(r.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(192, 0, 2, 80)})
		}
		_ = w.WriteMsg(r) // Who has gone has gone.
	})}
	served := make(chan error, 1)
	go func() { served <- s.ActivateAndServe() }()
	t.Cleanup(func() {
		must(t, s.Shutdown())
		must(t, <-served)
	})
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		all := strings.Join(names, " ")
		names = nil
		return all
	}
}

// tunnel is a policy with a peer that is not there.
func tunnel() policy.Policy {
	var own, peer, psk lease.Key
	for _, k := range []*lease.Key{&own, &peer, &psk} {
		rand.Read(k[:]) // Never fails.
	}
	return policy.Policy{Mode: policy.Tunnel, Tunnel: &policy.Link{
		PrivateKey: own, Addresses: []netip.Prefix{netip.MustParsePrefix("10.64.0.2/32")}, DNS: []netip.Addr{netip.MustParseAddr("10.64.0.1")},
		MTU: 1380, PeerKey: peer.Public(), PSK: psk, Endpoint: netip.MustParseAddrPort("192.0.2.53:51820"),
	}}
}

// tunnelled is how many packets went into the tunnel.
func tunnelled(t *testing.T) uint64 {
	t.Helper()
	link, err := netlink.LinkByName("leap0")
	must(t, err)
	return link.Attrs().Statistics.TxPackets + link.Attrs().Statistics.TxDropped
}
