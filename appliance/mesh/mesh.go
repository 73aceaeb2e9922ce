package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"

	"leap.example/appliance/node"
)

// ErrUnsupported is wrapped by the error of [Apply] on a kernel without
// WireGuard.
var ErrUnsupported = errors.New("the kernel has no WireGuard")

// Apply makes the device of the mesh what the document says, and returns what it
// did. Without a mesh there is no device. After an error the device may be half
// made; applying again goes on from there.
func Apply(ctx context.Context, m *node.Mesh, k Key) (Plan, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if m == nil {
		return remove()
	}
	link, done, err := device()
	if err != nil {
		return done, err
	}
	peers, err := configure(*m, k)
	if done = append(done, peers...); err != nil {
		return done, err
	}
	addresses, err := address(link, *m)
	done = append(done, addresses...)
	if err != nil {
		return done, err
	}
	// Only now, so that nothing leaves before the peers are known.
	if link.Attrs().RawFlags&unix.IFF_UP == 0 {
		if err := netlink.LinkSetUp(link); err != nil {
			return done, fmt.Errorf("setting %s up: %w", node.MeshDevice, err)
		}
		done = append(done, "up")
		greet(ctx, *m)
	}
	return done, nil
}

// greet has WireGuard shake hands with all peers. They may have a session with this node
// from before it was started, and what they send by it is lost: they would find out
// after 15 s of silence.
func greet(ctx context.Context, m node.Mesh) {
	for _, p := range m.Peers {
		c, err := new(net.Dialer).DialContext(ctx, "udp", netip.AddrPortFrom(p.Address, discard).String())
		if err != nil {
			continue // No way to it: none back either.
		}
		_, _ = c.Write([]byte{0}) // WireGuard tries again for as long as it is of use.
		_ = c.Close()
	}
}

// discard is the port at which nobody listens (RFC 863).
const discard = 9

func remove() (Plan, error) {
	link, err := netlink.LinkByName(node.MeshDevice)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil {
		return nil, fmt.Errorf("removing %s: %w", node.MeshDevice, err)
	}
	return Plan{"remove"}, nil
}

// device finds the device or makes it.
func device() (netlink.Link, Plan, error) {
	var done Plan
	link, err := netlink.LinkByName(node.MeshDevice)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		err = netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: node.MeshDevice, MTU: mtu}})
		if errors.Is(err, unix.EOPNOTSUPP) {
			err = ErrUnsupported
		}
		if err == nil {
			done = append(done, "create")
			link, err = netlink.LinkByName(node.MeshDevice)
		}
	}
	if err != nil {
		return nil, done, fmt.Errorf("making %s: %w", node.MeshDevice, err)
	}
	if link.Attrs().MTU != mtu {
		if err := netlink.LinkSetMTU(link, mtu); err != nil {
			return nil, done, fmt.Errorf("setting the MTU of %s: %w", node.MeshDevice, err)
		}
		done = append(done, fmt.Sprintf("mtu %d", mtu))
	}
	return link, done, nil
}

// configure sets key, port and peers, and looks whether they are so then.
func configure(m node.Mesh, k Key) (done Plan, err error) {
	client, err := wgctrl.New()
	if err != nil {
		return nil, fmt.Errorf("reaching WireGuard: %w", err)
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	for {
		is, err := client.Device(node.MeshDevice)
		if errors.Is(err, os.ErrNotExist) {
			return done, fmt.Errorf("%s is there, but is no device of WireGuard", node.MeshDevice)
		}
		if err != nil {
			return done, fmt.Errorf("reading %s: %w", node.MeshDevice, err)
		}
		config, changes, err := difference(m, k, is, time.Now())
		switch {
		case err != nil:
			return done, err
		case len(changes) == 0:
			return done, nil
		case len(done) > 0:
			return done, fmt.Errorf("%s has not taken: %v", node.MeshDevice, changes)
		}
		if err := client.ConfigureDevice(node.MeshDevice, config); err != nil {
			return nil, fmt.Errorf("configuring %s: %w", node.MeshDevice, err)
		}
		done = changes
	}
}

// address gives the device its address, and with it the route to the mesh.
func address(link netlink.Link, m node.Mesh) (Plan, error) {
	have, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("listing the addresses of %s: %w", node.MeshDevice, err)
	}
	var done Plan
	there := false
	for _, a := range have {
		switch {
		case a.IPNet.String() == m.Address.String():
			there = true
		case !a.IP.IsLinkLocalUnicast():
			if err := netlink.AddrDel(link, &a); err != nil {
				return done, fmt.Errorf("removing %v: %w", a.IPNet, err)
			}
			done = append(done, "remove address "+a.IPNet.String())
		}
	}
	if !there {
		own := ipNet(m.Address)
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: &own}); err != nil {
			return done, fmt.Errorf("adding %v: %w", m.Address, err)
		}
		done = append(done, "address "+m.Address.String())
	}
	return done, nil
}
