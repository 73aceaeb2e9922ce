package netcfg

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A kernel is what has a state and changes it. Tests have one that is text.
type kernel interface {
	read(cfg Config) (state, error)
	do(c change) error
}

// linux is the kernel of the network namespace that the calling thread is in.
type linux struct{}

const sysctl = "/proc/sys/net/"

func (linux) read(cfg Config) (state, error) {
	s := state{files: map[string]string{}}
	for _, path := range []string{cfg.ResolvConf, cfg.Hosts} {
		text, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return state{}, err
		}
		if err == nil {
			s.files[path] = string(text)
		}
	}
	links, err := dump(netlink.LinkList)
	if err != nil {
		return state{}, fmt.Errorf("listing network cards: %w", err)
	}
	for _, l := range links {
		a := l.Attrs()
		s.loopback = s.loopback || a.Name == "lo" && a.RawFlags&unix.IFF_UP != 0
		// A veth is the card of a container, and of tests.
		if a.EncapType != "ether" || l.Type() != "device" && l.Type() != "veth" {
			continue
		}
		is := link{name: a.Name, mac: a.HardwareAddr.String(), up: a.RawFlags&unix.IFF_UP != 0, mtu: a.MTU, settings: map[string]string{}}
		for path := range settings(a.Name, false) {
			if text, err := os.ReadFile(sysctl + path); err == nil {
				is.settings[path] = strings.TrimSpace(string(text))
			}
		}
		if is.addresses, err = readAddresses(l); err != nil {
			return state{}, fmt.Errorf("listing the addresses of %s: %w", a.Name, err)
		}
		if is.routes, err = readRoutes(l); err != nil {
			return state{}, fmt.Errorf("listing the routes of %s: %w", a.Name, err)
		}
		s.links = append(s.links, is)
	}
	slices.SortFunc(s.links, func(a, b link) int { return cmp.Compare(a.name, b.name) })
	return s, nil
}

// dump lists something, again if it changed meanwhile.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	for try := 0; ; try++ {
		all, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || try == 5 {
			return all, err
		}
	}
}

func readAddresses(l netlink.Link) ([]address, error) {
	all, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(l, netlink.FAMILY_ALL) })
	var addresses []address
	for _, a := range all {
		p, ok := prefix(a.IP, len(a.Mask), a.IPNet)
		if !ok || p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			continue
		}
		is := address{prefix: p}
		if a.Flags&unix.IFA_F_PERMANENT == 0 {
			// 4294967295: for ever, but learnt all the same.
			is.left = max(1, time.Duration(uint32(a.ValidLft))) * time.Second
		}
		addresses = append(addresses, is)
	}
	return addresses, err
}

func readRoutes(l netlink.Link) ([]route, error) {
	var routes []route
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all, err := dump(func() ([]netlink.Route, error) { return netlink.RouteList(l, family) })
		if err != nil {
			return nil, err
		}
		for _, r := range all {
			from := origin(r.Protocol)
			if r.Type != unix.RTN_UNICAST || len(r.MultiPath) > 0 || !slices.Contains([]origin{fromBoot, fromStatic, fromRouter, fromDHCP}, from) {
				continue
			}
			is := route{metric: r.Priority, from: from, to: everywhere(netip.IPv6Unspecified())}
			if family == netlink.FAMILY_V4 {
				is.to = everywhere(netip.IPv4Unspecified())
			}
			if r.Dst != nil {
				if p, ok := prefix(r.Dst.IP, len(r.Dst.Mask), r.Dst); ok {
					is.to = p
				}
			}
			if via, ok := netip.AddrFromSlice(r.Gw); ok {
				is.via = via.Unmap()
			}
			routes = append(routes, is)
		}
	}
	return routes, nil
}

func (linux) do(c change) error {
	switch c.do {
	case write:
		return writeFile(c.path, c.text)
	case set:
		return os.WriteFile(sysctl+c.path, []byte(c.text), 0o644)
	}
	l, err := netlink.LinkByName(c.link)
	if err != nil {
		return err
	}
	switch c.do {
	case setMTU:
		return netlink.LinkSetMTU(l, c.mtu)
	case raise:
		return netlink.LinkSetUp(l)
	case lower:
		return netlink.LinkSetDown(l)
	case addAddress, keepAddress:
		a := &netlink.Addr{IPNet: ipNet(c.address.prefix)}
		a.ValidLft = int(c.address.left.Round(time.Second) / time.Second)
		a.PreferedLft = a.ValidLft
		return netlink.AddrReplace(l, a)
	case dropAddress:
		return gone(netlink.AddrDel(l, &netlink.Addr{IPNet: ipNet(c.address.prefix)}))
	case putRoute:
		return netlink.RouteReplace(kernelRoute(l, c.route))
	case dropRoute:
		return gone(netlink.RouteDel(kernelRoute(l, c.route)))
	}
	return nil
}

// gone has no error where what was to be removed went by itself.
func gone(err error) error {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	return err
}

func kernelRoute(l netlink.Link, r route) *netlink.Route {
	k := &netlink.Route{
		LinkIndex: l.Attrs().Index, Dst: ipNet(r.to), Priority: r.metric, Protocol: netlink.RouteProtocol(r.from),
		Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST, Scope: netlink.SCOPE_LINK,
	}
	if r.via.IsValid() {
		k.Gw, k.Scope = r.via.AsSlice(), netlink.SCOPE_UNIVERSE
		// Networks of one address have their gateway outside. DHCP servers of clouds do so.
		k.SetFlag(netlink.FLAG_ONLINK)
	}
	if r.to.Addr().Is6() {
		k.Scope = netlink.SCOPE_UNIVERSE
	}
	return k
}

// writeFile replaces a file as a whole.
func writeFile(path, text string) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".netcfg-")
	if err != nil {
		return err
	}
	_, err = temporary.WriteString(text)
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(temporary.Name()))
	}
	return err
}
