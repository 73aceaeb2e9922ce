package kernel

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"leap.example/client/vpn/policy"
)

// A wireguard is an implementation of the protocol behind leap0.
type wireguard interface {
	// set configures the peer of l, at the endpoint given. With the keys of the
	// set before, the session lives on.
	set(l policy.Link, endpoint netip.AddrPort) error
	stats() (policy.Stats, error)
	// port is its own, of UDP. 0: the link is down.
	port() (uint16, error)
	close()
}

// A link is leap0 while this process has it.
type link struct {
	wg   wireguard
	wrap *wrapper // Nil: plain UDP.
}

// newLink makes the link, down and without addresses: the kernel's WireGuard
// where it has one. One that is there, of a former process, goes.
func newLink(log *slog.Logger) (*link, error) {
	if err := removeLink(); err != nil {
		return nil, err
	}
	wg, err := newKernelWireGuard()
	if errors.Is(err, unix.EOPNOTSUPP) {
		log.Info("the kernel has no WireGuard, this process does it")
		wg, err = newOwnWireGuard()
	}
	if err != nil {
		return nil, fmt.Errorf("making the tunnel's link: %w", err)
	}
	return &link{wg: wg}, nil
}

// linked reports whether there is a link of the name.
func linked() bool {
	_, err := netlink.LinkByName(link0)
	return err == nil
}

func removeLink() error {
	l, err := netlink.LinkByName(link0)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(l)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing the tunnel's link: %w", err)
	}
	return nil
}

// set configures the tunnel and its addresses.
func (l *link) set(want policy.Link) error {
	endpoint := want.Endpoint
	if l.wrap != nil && !l.wrap.same(want) {
		l.wrap.close()
		l.wrap = nil
	}
	if want.Wrap != nil {
		if l.wrap == nil {
			w, err := newWrapper(want, l.wg.port)
			if err != nil {
				return err
			}
			l.wrap = w
		}
		endpoint = l.wrap.local
	}
	if err := l.wg.set(want, endpoint); err != nil {
		return fmt.Errorf("configuring the tunnel: %w", err)
	}
	device, err := netlink.LinkByName(link0)
	if err != nil {
		return fmt.Errorf("the tunnel's link: %w", err)
	}
	if device.Attrs().MTU != want.MTU {
		if err := netlink.LinkSetMTU(device, want.MTU); err != nil {
			return fmt.Errorf("the MTU of the tunnel's link: %w", err)
		}
	}
	if err := address(device, want.Addresses); err != nil {
		return fmt.Errorf("the addresses of the tunnel's link: %w", err)
	}
	if err := netlink.LinkSetUp(device); err != nil {
		return fmt.Errorf("the tunnel's link: %w", err)
	}
	return nil
}

// address gives the link the addresses, and takes others away.
func address(device netlink.Link, want []netip.Prefix) error {
	have, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(device, netlink.FAMILY_ALL) })
	if err != nil {
		return err
	}
	for _, p := range want {
		// Nobody else has it: there is no need to ask (RFC 4862, 5.4).
		a := &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD}
		if p.Addr().Is4() {
			a.Flags = 0
		}
		if err := netlink.AddrReplace(device, a); err != nil {
			return err
		}
	}
	for _, a := range have {
		ip, _ := netip.AddrFromSlice(a.IP)
		if slices.ContainsFunc(want, func(p netip.Prefix) bool { return p.Addr() == ip.Unmap() }) {
			continue
		}
		if err := netlink.AddrDel(device, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return err
		}
	}
	return nil
}

func (l *link) close() {
	if l.wrap != nil {
		l.wrap.close()
	}
	l.wg.close()
}
