// Package gateway lives the life of one gateway with its users: the release as it
// is built, in QEMU, with the kernel's WireGuard and firewall. This process is all
// around it: a user, what the user wants to reach, and who watches the cable. It
// runs with -qemu.
//
//	user 198.51.100.50 ----+        +---- world 198.51.100.80
//	                       switch --+---- gw1, the gateway: 198.51.100.11 for users
//	operator 10.77.0.1 ----+               to come in, .12 for the world to see
package gateway

import (
	"crypto/tls"
	"flag"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/image/provider"
	"leap.example/qemu/vnet"
	"leap.example/tests/lab"
)

var (
	qemu      = flag.Bool("qemu", false, "boot a machine")
	artefacts = flag.String("artefacts", filepath.Join(os.TempDir(), "leap-qemu"), "where a test that fails leaves consoles, logs and captures")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	domain   = "demo.example"
	nodeName = "gw1"
	// placeName is the name of a place in the world.
	placeName = "www.world.example"
	rate      = 65536 // Of limited users, bytes a second.
	crowd     = 500   // Leases at once.
)

var (
	entry, entry6   = netip.MustParseAddr("198.51.100.11"), netip.MustParseAddr("2001:db8:77::11")
	egress, egress6 = netip.MustParseAddr("198.51.100.12"), netip.MustParseAddr("2001:db8:77::12")
	own, own6       = netip.MustParseAddr("198.51.100.50"), netip.MustParseAddr("2001:db8:77::50") // Of the user.
	operators       = netip.MustParseAddr("10.77.0.11")                                            // Where operators find it.
	place, place6   = netip.MustParseAddr("198.51.100.80"), netip.MustParseAddr("2001:db8:77::80") // In the world.
)

// A world is the gateway and all around it.
type world struct {
	*lab.Lab
	t     *testing.T
	user  *vnet.Host
	place *vnet.Host
	web   *tls.Config // Trusts the provider alone.
	ca    authority
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if !*qemu {
		t.Skip("a machine is booted with -qemu only")
	}
	dir := t.TempDir()
	op := lab.NewOperator(t, dir, provider.Answers{
		Domain: domain, Name: "Demonstration", Contact: "postmaster@" + domain, Enrollment: "open", Operator: "alice",
	}, `{
	"time": {"servers": ["10.77.0.1"]},
	"gate": {"ready": "3m", "watch": "3s"},
	"dns": {"resolver": {"upstreams": ["10.77.0.1:53"], "dnssec": "off"}},
	"gateway": {"rate": 65536, "leases": 600, "requests_per_minute": 100000},
}`)
	op.AddNode(nodeName, "services:gateway", "ip_address:"+operators.String(),
		`network:{"interfaces":[{"name":"eth0","addresses":["10.77.0.11/24","198.51.100.11/24","198.51.100.12/24","2001:db8:77::11/64","2001:db8:77::12/64"],"gateways":["10.77.0.1"]}],"nameservers":["10.77.0.1"]}`,
		`vpn:{"gateway_addresses":["198.51.100.11","2001:db8:77::11"],"egress_addresses":["198.51.100.12","2001:db8:77::12"],"ipv6":"fd00:64::/64"}`)
	w := &world{t: t, Lab: lab.New(t, dir, op, lab.Options{
		Memory: map[string]int{"": 512}, CaptureBytes: 64 << 20, Artefacts: *artefacts,
		Names: map[string][]netip.Addr{placeName: {place, place6}},
	})}
	w.user = w.host("user", own, own6)
	w.place = w.host("world", place, place6)
	w.web = op.Web()
	i, _ := op.Open()
	w.web.ServerName = i.FullName(i.Node(nodeName))
	w.ca = newAuthority(t, i.Files["ca/client_ca.crt"], op.Secrets()["client_ca.key"])
	for _, a := range []netip.Addr{place, place6} {
		w.tell(a)
		w.echo(netip.AddrPortFrom(a, 7))
		w.echo(netip.AddrPortFrom(a, 53)) // It is no resolver, but would be heard.
	}
	return w
}

func (w *world) host(name string, four, six netip.Addr) *vnet.Host {
	w.t.Helper()
	h, err := w.LAN().Host(name, vnet.HostConfig{Addrs: []netip.Prefix{netip.PrefixFrom(four, 24), netip.PrefixFrom(six, 64)}})
	check(w.t, err)
	w.t.Cleanup(func() { check(w.t, h.Close()) })
	return h
}

// inside is what the world says to users: nobody else may hear it.
const inside = "this was said inside a tunnel, to "

// tell serves a page at port 80 that tells who comes.
func (w *world) tell(at netip.Addr) {
	w.t.Helper()
	ln, err := w.place.ListenTCP(netip.AddrPortFrom(at, 80))
	check(w.t, err)
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		_, _ = io.WriteString(out, inside+host)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ln) }()
	w.t.Cleanup(func() { _ = s.Close(); <-done })
}

// echo answers datagrams.
func (w *world) echo(at netip.AddrPort) {
	w.t.Helper()
	c, err := w.place.ListenUDP(at)
	check(w.t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2000)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(b[:n], from) // Who asked asks again.
		}
	}()
	w.t.Cleanup(func() { _ = c.Close(); <-done })
}
