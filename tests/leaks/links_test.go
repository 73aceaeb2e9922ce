package leaks_test

import (
	"net"
	"time"

	"github.com/vishvananda/netlink"

	"leap.example/client/vpn/policy"
)

// links: the network moves under the tunnel.
func links(w *world) {
	w.startHelper()
	tunnel := w.policy(w.gateways[0])
	// A second card, on another network, that comes up later.
	w.client.Veth(w.T, "cli1", "eth1")
	plug(w, "cli1", "198.18.0.1/24", "2001:db8:9::1/64", "fe80::1/64")
	second := observe(w.T, "cli1")
	second.permit(frame.wireguard)
	w.others = append(w.others, second)
	for _, e := range []struct {
		what string
		do   func() error
	}{
		{"the tunnel's link deleted", func() error {
			return onTunnel(netlink.LinkDel)
		}},
		{"the tunnel's link down", func() error {
			return onTunnel(netlink.LinkSetDown)
		}},
		{"the tunnel's addresses removed", func() error {
			return onTunnel(func(l netlink.Link) error {
				all, err := netlink.AddrList(l, netlink.FAMILY_ALL)
				for _, a := range all {
					_ = netlink.AddrDel(l, &a)
				}
				return err
			})
		}},
		{"the default route replaced", func() error { return defaultRoutes("eth0", router, "fe80::1", 1) }},
		{"a new card with a better route", func() error {
			if err := addAddresses("eth1", "198.18.0.2/24", "2001:db8:9::2/64"); err != nil {
				return err
			}
			return defaultRoutes("eth1", "198.18.0.1", "fe80::1", 2)
		}},
		{"routes of DHCP's option 121", func() error {
			for _, to := range []string{"0.0.0.0/1", "128.0.0.0/1", server4 + "/32", "10.0.0.0/8"} {
				if err := addRoute("eth0", to, router, 0); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		w.client.Do(w.T, func() error {
			// As it was: the network's own routes, and no others.
			if l, err := netlink.LinkByName("eth1"); err == nil {
				_ = netlink.LinkSetDown(l)
			}
			return bareRoutes()
		})
		w.apply(policy.Policy{})
		w.connect(tunnel)
		w.step(e.what, func() {
			w.client.Do(w.T, e.do)
			w.pause(300 * time.Millisecond)
		})
		if !w.control {
			w.apply(tunnel)
			w.works("the tunnel after " + e.what)
		}
	}
}

func onTunnel(do func(netlink.Link) error) error {
	l, err := netlink.LinkByName("leap0")
	if err != nil {
		return err
	}
	return do(l)
}

// bareRoutes leaves eth0 the routes that it had at the beginning.
func bareRoutes() error {
	l, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all, err := netlink.RouteList(l, family)
		if err != nil {
			return err
		}
		for _, r := range all {
			if len(r.Gw) > 0 {
				if r.Dst == nil {
					r.Dst = &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
					if family == netlink.FAMILY_V6 {
						r.Dst = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
					}
				}
				if err := netlink.RouteDel(&r); err != nil {
					return err
				}
			}
		}
	}
	return defaultRoutes("eth0", router, "fe80::1", 100)
}
