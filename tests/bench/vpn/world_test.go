package vpn_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"leap.example/appliance/netcfg/nettest"
)

// Addresses (RFC 5737). The gateways are where the tests are.
const (
	server  = "203.0.113.10"
	entry   = "192.0.2.1"
	apiPort = 443 // Of the gateway with netstack; the other's is the next one.
)

// A world is the internet of one scene.
type world struct {
	testing.TB
	dir    string
	server *nettest.Peer
	pki    *pki
	links  int // To clients.
	sinks  sinks
}

// must ends the scene.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	// Processes are to end with the thread that starts them.
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	w := &world{TB: t, dir: t.TempDir(), server: nettest.NewPeer(t)}
	w.pki = newPKI(w)
	w.server.Veth(t, "srv0", "eth0", server+"/24")
	w.must(addAddresses("srv0", "203.0.113.1/24"))
	w.must(addAddresses("lo", entry+"/32"))
	w.Cleanup(func() { w.must(removeAddress("lo", entry+"/32")) })
	w.must(os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644))
	w.server.Do(t, func() error { return addRoute("eth0", "0.0.0.0/0", "203.0.113.1", "") })
	w.serve()
	return w
}

// join makes a namespace whose way to the rest takes delay in each direction.
func (w *world) join(delay time.Duration) *nettest.Peer {
	w.Helper()
	p := nettest.NewPeer(w)
	i := w.links
	w.links++
	near := fmt.Sprintf("cli%d", i)
	here, there := fmt.Sprintf("198.51.100.%d", 4*i+1), fmt.Sprintf("198.51.100.%d", 4*i+2)
	if delay > 0 {
		w.delay(p, near, "eth0", delay)
		p.Do(w, func() error { return addAddresses("eth0", there+"/30") })
	} else {
		p.Veth(w, near, "eth0", there+"/30")
	}
	w.must(addAddresses(near, here+"/30"))
	// wireguard-go's first answer does not come from where it was called, but from
	// where the route says.
	w.must(addRoute(near, fmt.Sprintf("198.51.100.%d/30", 4*i), "", entry))
	p.Do(w, func() error { return addRoute("eth0", "0.0.0.0/0", here, "") })
	return p
}

// dial opens a connection to the server in the namespace of p.
func dial(w *world, p *nettest.Peer) (c net.Conn) {
	w.Helper()
	p.Do(w, func() (err error) {
		c, err = net.DialTimeout("tcp4", serverPort, 10*time.Second)
		return err
	})
	return c
}

func addAddresses(name string, addresses ...string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, text := range addresses {
		a, err := netlink.ParseAddr(text)
		if err != nil {
			return err
		}
		if err := netlink.AddrReplace(l, a); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(l)
}

func removeAddress(name, address string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(address)
	if err != nil {
		return err
	}
	return netlink.AddrDel(l, a)
}

// addRoute adds a route through a router or, with none, by the device alone; from
// is the address that is preferred on it, if one is.
func addRoute(device, to, via, from string) error {
	l, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	_, dst, err := net.ParseCIDR(to)
	if err != nil {
		return err
	}
	r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Gw: net.ParseIP(via), Src: net.ParseIP(from)}
	if via == "" {
		r.Scope = unix.RT_SCOPE_LINK
	}
	return netlink.RouteReplace(r)
}

// median returns the middle one of values; of none, 0.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return (s[len(s)/2] + s[(len(s)-1)/2]) / 2
}

// ratio is a to b; 0 where b was not measured.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

var api = netip.AddrPortFrom(netip.MustParseAddr(entry), apiPort)
