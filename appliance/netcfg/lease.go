package netcfg

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A lease is what a DHCP server granted.
type lease struct {
	prefix      netip.Prefix
	routes      []route
	nameservers []netip.Addr
	timeServers []netip.Addr
	mtu         int       // Bytes. 0: not said.
	renew       time.Time // From when to ask the server again.
	until       time.Time // When it ends.
}

// Limits of a lease.
const (
	shortest    = 5 * time.Second
	forEver     = 365 * 24 * time.Hour // Instead of a lease without end.
	renewLatest = 24 * time.Hour
	mostRoutes  = 32
	mostServers = 8
)

// parseLease takes from an acknowledgement what a node uses (RFC 2131, 2132,
// 3442), and refuses what makes no sense.
func parseLease(ack *dhcpv4.DHCPv4, now time.Time) (lease, error) {
	var l lease
	own, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	ones, bits := ack.SubnetMask().Size()
	switch {
	case !ok || own.IsUnspecified() || own.IsLoopback() || own.IsMulticast() || own == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return lease{}, errors.New("the server grants no usable address")
	case bits != 32 || ones == 0:
		return lease{}, errors.New("the server names no usable netmask")
	}
	l.prefix = netip.PrefixFrom(own, ones)
	span := ack.IPAddressLeaseTime(0)
	if span == 0 {
		return lease{}, errors.New("the server names no time of lease")
	}
	span = min(max(span, shortest), forEver)
	renew := ack.IPAddressRenewalTime(0)
	if renew <= 0 || renew >= span {
		renew = span / 2 // RFC 2131, 4.4.5.
	}
	l.until, l.renew = now.Add(span), now.Add(min(renew, renewLatest))
	l.routes = leasedRoutes(ack)
	l.nameservers, l.timeServers = addresses(ack.DNS()), addresses(ack.NTPServers())
	if mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options); err == nil && mtu >= 1280 {
		l.mtu = int(mtu) // IPv6 needs 1280.
	}
	return l, nil
}

func leasedRoutes(ack *dhcpv4.DHCPv4) []route {
	var routes []route
	add := func(to netip.Prefix, via netip.Addr) {
		r := route{to: to.Masked()}
		if !via.IsUnspecified() {
			r.via = via // RFC 3442: 0.0.0.0 is on the link.
		}
		for _, other := range routes {
			if other.to == r.to {
				return
			}
		}
		if len(routes) < mostRoutes && !via.IsMulticast() && !via.IsLoopback() && !to.Addr().IsMulticast() && !to.Addr().IsLoopback() {
			routes = append(routes, r)
		}
	}
	for _, r := range ack.ClasslessStaticRoute() {
		via, ok := netip.AddrFromSlice(r.Router.To4())
		if to, valid := prefix(r.Dest.IP, 4, r.Dest); ok && valid {
			add(to, via)
		}
	}
	if len(routes) == 0 {
		for _, via := range addresses(ack.Router()) {
			add(everywhere(via), via)
		}
	}
	return routes
}

func addresses(ips []net.IP) []netip.Addr {
	var all []netip.Addr
	for _, ip := range ips {
		a, ok := netip.AddrFromSlice(ip.To4())
		if ok && !a.IsUnspecified() && !a.IsMulticast() && len(all) < mostServers {
			all = append(all, a)
		}
	}
	return all
}

// prefix is an IP network of the other kind, where size is the length of an
// address in bytes.
func prefix(ip net.IP, size int, n *net.IPNet) (netip.Prefix, bool) {
	if size == 4 {
		ip = ip.To4()
	}
	a, ok := netip.AddrFromSlice(ip)
	ones, bits := n.Mask.Size()
	return netip.PrefixFrom(a, ones), ok && bits == a.BitLen()
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// asked are the options that a client wants to hear about.
func asked() dhcpv4.Modifier {
	return dhcpv4.WithRequestedOptions(
		dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionDomainNameServer,
		dhcpv4.OptionNTPServers, dhcpv4.OptionInterfaceMTU, dhcpv4.OptionIPAddressLeaseTime, dhcpv4.OptionRenewTimeValue,
	)
}
