package tunnel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/control"
	"leap.example/client/vpn/helper"
	"leap.example/client/vpn/vpntest"
	"leap.example/services/gateway"
)

// Addresses (RFC 5737).
const (
	here   = "198.51.100.1" // The router of the computer's network; provider and gateways, too.
	there  = "203.0.113.10" // A server in the internet.
	itself = "198.51.100.2" // The computer.
)

// exits are from where the gateways let traffic out.
var exits = []string{"203.0.113.11", "203.0.113.12"}

// A computer is a namespace with leapc: its helper, as root, and its daemon.
type computer struct {
	*testing.T
	peer            *nettest.Peer
	dir, leapc, web string
	helper, daemon  *exec.Cmd
}

// newComputer makes the network around, and a computer without a VPN.
//
//	computer 198.51.100.2 ── 198.51.100.1 provider, gateways ── 203.0.113.10 server
func newComputer(t *testing.T) *computer {
	t.Helper()
	c := &computer{T: t, peer: nettest.NewPeer(t), dir: t.TempDir()}
	c.peer.Veth(t, "cli0", "eth0", itself+"/24")
	give(t, "cli0", here+"/24")
	for _, a := range append(exits, there) {
		give(t, "lo", a+"/32")
	}
	c.peer.Do(t, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP(here)})
	})
	ln, err := net.Listen("tcp", there+":0")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprint(w, host)
	}))
	s.Listener.Close()
	s.Listener = ln
	s.Start()
	t.Cleanup(s.Close)
	c.web = s.URL
	c.leapc = filepath.Join(c.dir, "leapc")
	build := exec.Command("go", "build", "-o", c.leapc, "leap.example/client/cmd/leapc")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building leapc: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "resolv.conf"), []byte("nameserver "+here+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return c
}

// give sets an address of this namespace.
func give(t *testing.T, link, address string) {
	t.Helper()
	l, err := netlink.LinkByName(link)
	if err != nil {
		t.Fatal(err)
	}
	a, err := netlink.ParseAddr(address)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(netlink.AddrAdd(l, a), netlink.LinkSetUp(l)); err != nil {
		t.Fatal(err)
	}
}

// run starts leapc with these arguments, to run until the test ends or kills it.
func (c *computer) run(args ...string) *exec.Cmd {
	c.Helper()
	cmd := exec.Command(c.leapc, args...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Env = []string{"HOME=" + c.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.peer.Do(c.T, cmd.Start)
	c.Cleanup(func() {
		kill(cmd)
		if c.Failed() {
			c.Logf("%v:\n%s", args, log.String())
		}
	})
	return cmd
}

// kill ends a program without asking it.
func kill(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		cmd.Process.Kill()
		cmd.Wait()
	}
}

func (c *computer) startHelper() {
	c.Helper()
	c.helper = c.run("vpn-helper", "run", "--state", filepath.Join(c.dir, "state"), "--resolv-conf", filepath.Join(c.dir, "resolv.conf"))
	nettest.Until(c.T, "the helper answers", func() bool {
		_, err := helper.NewClient(helper.Socket).Version(c.Context())
		return err == nil
	})
}

func (c *computer) home() string { return filepath.Join(c.dir, "home") }

func (c *computer) startDaemon() {
	c.Helper()
	c.daemon = c.run("--home", c.home(), "daemon", "--verbose")
	nettest.Until(c.T, "the daemon answers", func() bool {
		d := control.Dial(filepath.Join(c.home(), "leapc.sock"))
		defer d.Close()
		_, err := d.VPNStatus(c.Context())
		return err == nil
	})
}

// types types a command of leapc and returns what it prints.
func (c *computer) types(args ...string) []byte {
	c.Helper()
	cmd := exec.Command(c.leapc, append([]string{"--home", c.home(), "--json"}, args...)...)
	cmd.Env = []string{"HOME=" + c.dir}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	c.peer.Do(c.T, cmd.Start)
	if err := cmd.Wait(); err != nil {
		c.Fatalf("leapc %v: %v\n%s%s", args, err, &out, &errs)
	}
	return out.Bytes()
}

func (c *computer) status() control.VPNStatus {
	c.Helper()
	d := control.Dial(filepath.Join(c.home(), "leapc.sock"))
	defer d.Close()
	s, err := d.VPNStatus(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	return s
}

// origin asks the server where the computer's request comes from; "" when it
// does not come.
func (c *computer) origin() (from string) {
	c.Helper()
	// Sockets belong to the namespace of the thread that opens them.
	c.peer.Do(c.T, func() error {
		conn, err := net.DialTimeout("tcp4", strings.TrimPrefix(c.web, "http://"), time.Second)
		if err != nil {
			return nil
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return err
		}
		if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
			return nil
		}
		reply, err := io.ReadAll(conn)
		if _, body, ok := strings.Cut(string(reply), "\r\n\r\n"); ok && err == nil {
			from = body
		}
		return nil
	})
	return from
}

// comes waits until requests come from an address.
func (c *computer) comes(from, when string) {
	c.Helper()
	last, begin := "", time.Now()
	end := begin.Add(60 * time.Second)
	for last = c.origin(); last != from; last = c.origin() {
		if time.Now().After(end) {
			c.Fatalf("%s: requests come from %q, want %q; %+v", when, last, from, c.status())
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.Logf("%s: %.1f s", when, time.Since(begin).Seconds())
}

// TestWholeComputer: with the helper all traffic of a computer goes through a
// gateway or nowhere, whoever dies; and goes out as ever when the user says so.
func TestWholeComputer(t *testing.T) {
	if testing.Short() {
		t.Skip("builds leapc: not in -short")
	}
	t.Parallel()
	c := newComputer(t)
	p := vpntest.NewProviderAt(t, here, here)
	var nodes []node
	for i, exit := range exits {
		n := startAt(t, p.Authority, i+1, here, true, func(cfg *gateway.Config) { cfg.Egress = []netip.Addr{netip.MustParseAddr(exit)} })
		nodes = append(nodes, n)
		p.Set(func(o *vpntest.Offer) {
			o.Gateways = append(o.Gateways, &vpntest.Gateway{Name: n.host, Listen: n.lease})
		})
	}
	c.startHelper()
	c.startDaemon()
	c.types("provider", "add", p.Host(), "--ca-fingerprint", p.Fingerprint())
	c.comes(itself, "before the VPN")

	var s control.VPNStatus
	if err := json.Unmarshal(c.types("vpn", "up", "--use", nodes[0].host), &s); err != nil || s.State != control.VPNConnected || s.Path != control.VPNPathHelper {
		t.Fatalf("up: %+v, %v", s, err)
	}
	c.types("vpn", "use", "auto")
	c.comes(exits[0], "connected")

	// The daemon dies: the tunnel stays; after its start it is used again.
	kill(c.daemon)
	if from := c.origin(); from != exits[0] {
		t.Errorf("without the daemon requests come from %q", from)
	}
	c.startDaemon()
	nettest.Until(t, "it is connected again", func() bool { return c.status().State == control.VPNConnected })
	c.comes(exits[0], "after the daemon's death")

	// The helper dies: nothing leaves beside the tunnel, and it is made again.
	kill(c.helper)
	if from := c.origin(); from == itself {
		t.Error("without the helper traffic goes out beside the tunnel")
	}
	c.startHelper()
	c.comes(exits[0], "after the helper's death")

	nodes[0].stop()
	c.comes(exits[1], "after the first gateway's death")

	c.types("vpn", "lockdown", "on")
	c.types("vpn", "down")
	if from := c.origin(); from != "" {
		t.Errorf("in lockdown requests come from %q", from)
	}
	c.types("vpn", "lockdown", "off")
	c.comes(itself, "after all")
}
