package leaks_test

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/vpn/policy"
)

var deleteLink = netlink.LinkDel

// cable connects a container to the client, which forwards for it.
func (w *world) cable(client, container *nettest.Peer) {
	w.Helper()
	thread := make(chan int, 1)
	container.Do(w.T, func() error { thread <- unix.Gettid(); return nil })
	id := <-thread
	client.Do(w.T, func() error {
		err := netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "ctr0"}, PeerName: "eth0", PeerNamespace: netlink.NsPid(id),
		})
		if err != nil {
			return err
		}
		forwarding(w)
		return addAddresses("ctr0", "172.17.0.1/24", "fd00:17::1/64")
	})
	container.Do(w.T, func() error {
		if err := addAddresses("eth0", "172.17.0.2/24", "fd00:17::2/64"); err != nil {
			return err
		}
		return defaultRoutes("eth0", "172.17.0.1", "fd00:17::1", 0)
	})
}

// boot: the machine starts with all blocked, before there is a network and
// before there is a helper.
func boot(w *world) {
	w.client.Do(w.T, func() error { return onLink("eth0", netlink.LinkSetDown) })
	if !w.control {
		w.leapc("block")
	}
	w.step("the network comes up", func() {
		w.client.Do(w.T, func() error {
			if err := addAddresses("eth0", "198.51.100.2/24", "2001:db8:1::2/64"); err != nil {
				return err
			}
			return defaultRoutes("eth0", router, "fe80::1", 100)
		})
		w.plugged()
	})
	w.step("the helper starts", func() {
		w.startHelper()
		w.pause(200 * time.Millisecond)
	})
	if !w.control {
		w.connect(w.policy(w.gateways[0]))
		w.step("the helper of a machine that shuts down", func() { w.helper.end(syscall.SIGTERM) })
		w.leapc("unblock")
		w.wan.permit(func(frame) bool { return true })
		w.shooter.volley(everything())
		w.shooter.volley(nil)
	}
}

func onLink(name string, do func(netlink.Link) error) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return do(l)
}

// changeover: another program takes the helper's place, and another gateway the
// gateway's.
func changeover(w *world) {
	w.startHelper()
	one, two := w.policy(w.gateways[0]), w.policy(w.gateways[1])
	w.connect(one)
	w.step("the helper is replaced", func() {
		old, err := program()
		w.must(err)
		next := filepath.Join(w.dir, "leapc-next")
		w.must(copyFile(old, next))
		w.helper.end(syscall.SIGTERM)
		w.disarm(policy.Policy{})
		w.startHelperOf(next)
		w.disarm(policy.Policy{})
		w.connect(one)
	})
	w.step("the gateway is changed", func() {
		for _, p := range []policy.Policy{two, one, two} {
			if w.control { // As clients do that take the old tunnel down first.
				w.apply(policy.Policy{})
				w.pause(100 * time.Millisecond)
			}
			w.connect(p)
		}
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// versions: a tunnel for one version of IP on a network that has both.
func versions(w *world) {
	w.startHelper()
	four := w.policy(w.gateways[0])
	four.Tunnel.Addresses, four.Tunnel.DNS = four.Tunnel.Addresses[:1], four.Tunnel.DNS[:1]
	w.connect(four)
	w.step("a lease without IPv6", func() { w.pause(300 * time.Millisecond) })
	six := w.policy(w.gateways[0])
	six.Tunnel.Addresses, six.Tunnel.DNS = six.Tunnel.Addresses[1:], six.Tunnel.DNS[1:]
	six.Tunnel.Endpoint = endpoints[2]
	w.apply(policy.Policy{})
	w.apply(six)
	w.until("the tunnel carries IPv6", func() bool { return w.through("tcp6", server6) })
	w.step("a lease without IPv4", func() { w.pause(300 * time.Millisecond) })
	if w.control {
		return
	}
	both := w.policy(w.gateways[0])
	both.Tunnel.Endpoint = endpoints[2]
	w.connect(both)
	w.until("the tunnel carries IPv6 beside IPv4", func() bool { return w.through("tcp6", server6) })
	w.step("both over IPv6", func() { w.pause(300 * time.Millisecond) })
	w.client.Do(w.T, func() error { // A network without IPv4.
		return onLink("eth0", func(l netlink.Link) error {
			all, err := netlink.AddrList(l, netlink.FAMILY_V4)
			for _, a := range all {
				err = errors.Join(err, netlink.AddrDel(l, &a))
			}
			return err
		})
	})
	w.step("a network of IPv6 alone", func() { w.works("IPv4 through IPv6") })
}

// roaming: the machine sleeps, wakes up elsewhere, and moves on.
func roaming(w *world) {
	w.startHelper()
	tunnel := w.policy(w.gateways[0])
	w.connect(tunnel)
	w.step("sleep", func() {
		w.must(w.helper.Process.Signal(syscall.SIGSTOP))
		w.pause(500 * time.Millisecond)
		if w.control {
			w.client.Do(w.T, func() error { return defaultRoutes("eth0", router, "fe80::1", 1) })
			w.pause(100 * time.Millisecond)
		}
		w.must(w.helper.Process.Signal(syscall.SIGCONT))
	})
	w.resumes("sleep")
	w.step("another address", func() {
		w.client.Do(w.T, func() error {
			err := onLink("eth0", func(l netlink.Link) error {
				all, err := netlink.AddrList(l, netlink.FAMILY_V4)
				for _, a := range all {
					err = errors.Join(err, netlink.AddrDel(l, &a))
				}
				return err
			})
			if err != nil {
				return err
			}
			if err := addAddresses("eth0", "198.51.100.77/24", "2001:db8:1::77/64"); err != nil {
				return err
			}
			return defaultRoutes("eth0", router, "fe80::1", 1)
		})
		w.pause(200 * time.Millisecond)
	})
	w.resumes("another address")
	w.step("no network for a while", func() {
		w.client.Do(w.T, func() error { return onLink("eth0", netlink.LinkSetDown) })
		w.pause(200 * time.Millisecond)
		w.client.Do(w.T, func() error {
			if err := addAddresses("eth0", "198.51.100.77/24", "2001:db8:1::77/64"); err != nil {
				return err
			}
			return defaultRoutes("eth0", router, "fe80::1", 1)
		})
		w.plugged()
	})
	w.resumes("no network for a while")
}

// plugged waits until the internet's end of the cable has seen that the client's
// is up, for which the kernel takes up to a second, and until the client has
// asked for its neighbours again, for which it takes one.
func (w *world) plugged() {
	w.Helper()
	w.until("the cable carries", func() bool {
		l, err := netlink.LinkByName("cli0")
		return err == nil && l.Attrs().OperState == netlink.OperUp
	})
	w.pause(1500 * time.Millisecond)
}

func (w *world) resumes(after string) {
	w.Helper()
	if !w.control {
		w.works("the tunnel resumes after " + after)
	}
}

// window: a portal window is for one user, for the web and names, and closes on
// time, whoever is left to close it.
func window(w *world) {
	w.startHelper()
	guest, other := w.actor(w.client, 4300), w.actor(w.client, stranger)
	var inside, outside []shot
	for _, port := range []uint16{53, 80, 443} {
		inside = append(inside, shot{"tcp", netip.AddrPortFrom(netip.MustParseAddr(server4), port), ""})
	}
	inside = append(inside, shot{"udp", netip.MustParseAddrPort(router + ":53"), ""})
	outside = append(outside, shot{"tcp", netip.MustParseAddrPort(server4 + ":4444"), ""}, shot{"udp", netip.MustParseAddrPort(server4 + ":443"), ""})
	for _, killed := range []bool{false, true} {
		until := time.Now().Add(1500 * time.Millisecond)
		w.apply(policy.Policy{Portal: &policy.Portal{UID: 4300, Until: until}})
		if !w.control {
			w.quiet()
			guest.volley(inside)
			if seen := w.wan.take(w.T); len(seen) < len(inside) {
				w.Errorf("the window lets only %v out", seen)
			}
			guest.volley(nil)
		}
		w.shooting("other users during the window", other, append(inside, outside...), func() { w.pause(100 * time.Millisecond) })
		w.shooting("other ports during the window", guest, outside, func() { w.pause(100 * time.Millisecond) })
		if killed {
			w.helper.end(syscall.SIGKILL)
		}
		w.pause(time.Until(until))
		if w.control { // The helper's own clock has closed the window by a new table.
			w.pause(300 * time.Millisecond)
			w.disarm(policy.Policy{})
		}
		w.shooting("after the window", guest, inside, func() { w.pause(300 * time.Millisecond) })
	}
}
