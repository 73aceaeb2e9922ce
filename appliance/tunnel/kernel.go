package tunnel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"leap.example/appliance/node"
	"leap.example/services/protocol/lease"
)

// A kernel has the device and changes it. Tests have one that is text.
type kernel interface {
	read() (state, error)
	do(c change, to Config) error
}

// linux is the kernel of the network namespace that the calling thread is in.
type linux struct{}

func (linux) read() (state, error) {
	link, err := netlink.LinkByName(node.TunnelDevice)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return state{}, nil
	}
	if err != nil {
		return state{}, err
	}
	a := link.Attrs()
	s := state{mtu: a.MTU, up: a.RawFlags&unix.IFF_UP != 0}
	addresses, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return state{}, err
	}
	for _, a := range addresses {
		own, ok := netip.AddrFromSlice(a.IP)
		if own = own.Unmap(); ok && !own.IsLinkLocalUnicast() {
			ones, _ := a.Mask.Size()
			s.addresses = append(s.addresses, netip.PrefixFrom(own, ones))
		}
	}
	err = wireguard(func(c *wgctrl.Client) error {
		d, err := c.Device(node.TunnelDevice)
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is there, but is no device of WireGuard", node.TunnelDevice)
		}
		if err == nil {
			s.port = uint16(d.ListenPort)
			if d.PrivateKey != (wgtypes.Key{}) {
				s.public = lease.Key(d.PrivateKey.PublicKey())
			}
		}
		return err
	})
	return s, err
}

func (linux) do(c change, to Config) error {
	if c.do == create {
		err := netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: node.TunnelDevice, MTU: to.MTU}})
		if errors.Is(err, unix.EOPNOTSUPP) {
			err = ErrUnsupported
		}
		return err
	}
	link, err := netlink.LinkByName(node.TunnelDevice)
	if err != nil {
		return err
	}
	switch c.do {
	case setMTU:
		return netlink.LinkSetMTU(link, to.MTU)
	case configure:
		key, port := wgtypes.Key(to.PrivateKey), int(to.Port)
		return wireguard(func(c *wgctrl.Client) error {
			return c.ConfigureDevice(node.TunnelDevice, wgtypes.Config{PrivateKey: &key, ListenPort: &port})
		})
	case dropAddress:
		return netlink.AddrDel(link, &netlink.Addr{IPNet: ipNet(c.address)})
	case addAddress:
		return netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(c.address)})
	default:
		return netlink.LinkSetUp(link)
	}
}

// wireguard speaks to WireGuard for as long as do takes.
func wireguard(do func(*wgctrl.Client) error) error {
	c, err := wgctrl.New()
	if err != nil {
		return fmt.Errorf("reaching WireGuard: %w", err)
	}
	return errors.Join(do(c), c.Close())
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
