package leaks_test

import (
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/vpn/helper"
	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/lease"
)

// Addresses (RFC 5737, RFC 3849, RFC 1918, RFC 4193).
const (
	router   = "198.51.100.1"
	server4  = "203.0.113.10"
	server6  = "2001:db8:3::10"
	private  = "10.99.0.10" // Of the server too.
	user     = 4242         // Who may ask the helper.
	stranger = 4243
)

var (
	tunnelNet  = netip.MustParsePrefix("10.64.0.0/14")
	tunnelNet6 = netip.MustParsePrefix("fd00:64::/30")
	endpoints  = []netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.1:51820"), netip.MustParseAddrPort("192.0.2.1:51821"),
		netip.MustParseAddrPort("[2001:db8:2::1]:51820"), netip.MustParseAddrPort("[2001:db8:2::1]:51821"),
		netip.MustParseAddrPort("192.0.2.1:51830"),
	}
)

// A world is the internet of one run.
type world struct {
	*testing.T
	control bool // Without the firewall.

	dir                     string
	client, gateway, server *nettest.Peer
	wan                     *observer
	gateways                [2]*peer
	helper                  *process
	ask                     *helper.Client
	arrived                 atomic.Int64 // Connections at the server that came through a tunnel.
	total                   int          // Leaks.
	shooter                 *actor       // Root's.
	others                  []*observer
}

// must fails the run.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

var etc = sync.OnceValue(ownEtc)

// program is leapc, built once.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programs, "leapc")
	cmd := exec.Command("go", "build", "-o", path, "leap.example/client/cmd/leapc")
	cmd.Stderr = os.Stderr
	return path, cmd.Run()
})

func newWorld(t *testing.T, control bool) *world {
	t.Helper()
	w := &world{T: t, control: control, dir: t.TempDir()}
	w.must(etc())
	w.must(os.WriteFile("/etc/resolv.conf", []byte("nameserver "+router+"\noptions timeout:1 attempts:1\n"), 0o644))
	os.Remove("/etc/resolv.conf.before-leap")
	w.client, w.gateway, w.server = nettest.NewPeer(t), nettest.NewPeer(t), nettest.NewPeer(t)
	w.client.Veth(t, "cli0", "eth0", "198.51.100.2/24", "2001:db8:1::2/64")
	w.gateway.Veth(t, "gw0", "eth0", "192.0.2.1/24", "2001:db8:2::1/64")
	w.server.Veth(t, "srv0", "eth0", server4+"/24", server6+"/64", private+"/24")
	plug(w, "cli0", router+"/24", "2001:db8:1::1/64", "fe80::1/64")
	plug(w, "gw0", "192.0.2.254/24", "2001:db8:2::fe/64")
	plug(w, "srv0", "203.0.113.1/24", "2001:db8:3::1/64", "10.99.0.1/24")
	forwarding(w)
	w.client.Do(t, func() error {
		// Strict checks of the way back: the hardest case for a tunnel.
		return os.WriteFile("/proc/sys/net/ipv4/conf/all/rp_filter", []byte("1"), 0o644)
	})
	w.client.Do(t, func() error { return defaultRoutes("eth0", router, "fe80::1", 100) })
	w.gateway.Do(t, func() error {
		forwarding(w)
		return defaultRoutes("eth0", "192.0.2.254", "2001:db8:2::fe", 0)
	})
	w.server.Do(t, func() error { return defaultRoutes("eth0", "203.0.113.1", "2001:db8:3::1", 0) })
	w.must(addRoute("gw0", tunnelNet.String(), "192.0.2.1", 0))
	w.must(addRoute("gw0", tunnelNet6.String(), "2001:db8:2::1", 0))
	w.serve()
	w.shooter = w.actor(w.client, 0)
	w.wan = observe(t, "cli0")
	w.wan.permit(frame.wireguard)
	for i := range w.gateways {
		w.gateways[i] = w.startGateway(i)
	}
	return w
}

func forwarding(w *world) {
	for _, path := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		w.must(os.WriteFile("/proc/sys/net/"+path, []byte("1"), 0o644))
	}
}

// plug sets up a plug of this namespace.
func plug(w *world, name string, addresses ...string) {
	w.Helper()
	w.must(addAddresses(name, addresses...))
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
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrReplace(l, a); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(l)
}

func defaultRoutes(device, via4, via6 string, metric int) error {
	return errors.Join(addRoute(device, "0.0.0.0/0", via4, metric), addRoute(device, "::/0", via6, metric))
}

// addRoute adds a route to a network, through a router or, with none, by the
// device alone.
func addRoute(device, to, via string, metric int) error {
	l, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	_, dst, err := net.ParseCIDR(to)
	if err != nil {
		return err
	}
	r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Gw: net.ParseIP(via), Priority: metric}
	if via == "" && dst.IP.To4() != nil {
		r.Scope = netlink.SCOPE_LINK
	}
	return netlink.RouteReplace(r)
}

// held is the server's port where connections stay.
const held = "443"

// serve answers every connection at the server, and counts those that come out
// of a tunnel.
func (w *world) serve() {
	var lns []net.Listener
	w.server.Do(w.T, func() error {
		for _, port := range []string{"4444", "53", held} {
			ln, err := net.Listen("tcp", "[::]:"+port)
			if err != nil {
				return err
			}
			lns = append(lns, ln)
		}
		return nil
	})
	var wg sync.WaitGroup
	for _, ln := range lns {
		wg.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
				if tunnelNet.Contains(from) || tunnelNet6.Contains(from) || from.String() == gatewayOut {
					w.arrived.Add(1)
				}
				if _, port, _ := net.SplitHostPort(ln.Addr().String()); port == held {
					w.Cleanup(func() { c.Close() })
					continue
				}
				c.Close()
			}
		})
	}
	w.Cleanup(func() {
		for _, ln := range lns {
			ln.Close()
		}
		wg.Wait()
	})
}

// A process is a program in a namespace.
type process struct {
	*exec.Cmd
	w    *world
	log  string
	dead bool
}

// start starts a program in the namespace of p. It ends with the run at last.
func (w *world) start(p *nettest.Peer, cmd *exec.Cmd) *process {
	w.Helper()
	log, err := os.CreateTemp(w.dir, "log")
	w.must(err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	one := &process{Cmd: cmd, w: w, log: log.Name()}
	p.Do(w.T, cmd.Start)
	w.Cleanup(func() {
		one.end(syscall.SIGKILL)
		if w.Failed() {
			text, _ := os.ReadFile(one.log)
			w.Logf("%s said:\n%s", filepath.Base(cmd.Path), text)
		}
	})
	return one
}

// end sends a signal and waits until the process is gone.
func (p *process) end(s syscall.Signal) {
	if p.dead {
		return
	}
	p.dead = true
	_ = p.Process.Signal(s)
	_ = p.Wait()
}

// role is this program in a part of its own.
func (w *world) role(name string, about any) *exec.Cmd {
	w.Helper()
	data, err := json.Marshal(about)
	w.must(err)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "LEAKS_ROLE="+name, "LEAKS_ABOUT="+string(data))
	return cmd
}

const socket = "/run/leap-vpn/helper.sock"

// startHelper runs the real helper and waits until it answers.
func (w *world) startHelper() {
	w.Helper()
	path, err := program()
	w.must(err)
	w.startHelperOf(path)
}

func (w *world) startHelperOf(path string) {
	w.Helper()
	cmd := exec.Command(path, "vpn-helper", "run", "--socket", socket, "--state", filepath.Join(w.dir, "state"), "--uid", "4242")
	w.helper = w.start(w.client, cmd)
	w.ask = helper.NewClient(socket)
	w.until("the helper answers", func() bool {
		_, err := w.ask.Version(w.Context())
		return err == nil
	})
}

// leapc runs a command of the helper's program in the client.
func (w *world) leapc(args ...string) {
	w.Helper()
	path, err := program()
	w.must(err)
	cmd := exec.Command(path, append([]string{"vpn-helper"}, args...)...)
	p := w.start(w.client, cmd)
	p.dead = true
	if err := p.Wait(); err != nil {
		text, _ := os.ReadFile(p.log)
		w.Fatalf("leapc %v: %v\n%s", args, err, text)
	}
}

// until polls for at most 20 seconds.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	nettest.Until(w.T, what, ok)
}

// policy is a tunnel to a gateway.
func (w *world) policy(g *peer) policy.Policy {
	return policy.Policy{Mode: policy.Tunnel, Tunnel: &policy.Link{
		PrivateKey: g.client, PeerKey: g.key.Public(), PSK: g.psk, MTU: lease.MaxMTU - 80, Endpoint: g.endpoint,
		Addresses: []netip.Prefix{netip.PrefixFrom(g.addr4, 32), netip.PrefixFrom(g.addr6, 128)},
		DNS:       []netip.Addr{g.dns4, g.dns6},
	}}
}

// apply asks the helper. In a control run the firewall then goes away, as if
// there had never been one.
func (w *world) apply(p policy.Policy) {
	w.Helper()
	w.must(w.ask.Apply(w.Context(), p))
	w.disarm(p)
}

// connect brings a tunnel up that works.
func (w *world) connect(p policy.Policy) {
	w.Helper()
	w.apply(p)
	w.works("the tunnel carries a connection")
}

// works waits until a connection through the tunnel reaches the server.
func (w *world) works(what string) {
	w.Helper()
	w.until(what, func() bool { return w.through("tcp4", server4) })
}

// through reports whether a connection reaches the server by the tunnel.
func (w *world) through(network, address string) bool {
	before := w.arrived.Load()
	w.client.Do(w.T, func() error {
		c, err := net.DialTimeout(network, net.JoinHostPort(address, "4444"), 500*time.Millisecond)
		if err == nil {
			_ = c.SetDeadline(time.Now().Add(500 * time.Millisecond))
			_, _ = c.Read(make([]byte, 1)) // Until the server has seen it.
			c.Close()
		}
		return nil
	})
	return w.arrived.Load() > before
}
