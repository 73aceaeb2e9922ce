package userspace

import (
	"context"
	"fmt"
	"net/netip"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"leap.example/client/vpn/policy"
	"leap.example/client/vpn/transport"
	"leap.example/client/vpn/uapi"
)

// keepalive keeps the way back open through a NAT, and lets a gateway that is
// gone be noticed. Seconds.
const keepalive = 25

// A tunnel is WireGuard with a TCP/IP stack of its own.
type tunnel struct {
	link policy.Link
	bind *transport.Bind
	dev  *device.Device
	net  *netstack
	ctx  context.Context // Done when the tunnel is closed.
	end  context.CancelFunc
}

// newTunnel starts to shake hands at once.
func newTunnel(l policy.Link, dial transport.DialFunc) (*tunnel, error) {
	stack, err := newNetstack(l.Addresses, l.MTU)
	if err != nil {
		return nil, err
	}
	t := &tunnel{link: l, bind: transport.NewBind(conn.NewDefaultBind(), dial), net: stack}
	t.ctx, t.end = context.WithCancel(context.Background())
	t.dev = device.NewDevice(stack, t.bind, device.NewLogger(device.LogLevelSilent, "")) // It would log addresses.
	err = t.bind.Route(l.Endpoint, l.Wrap)
	if err == nil {
		err = t.dev.IpcSet("private_key=" + l.PrivateKey.Hex() + "\nreplace_peers=true\n" + peer(l))
	}
	if err == nil {
		err = t.dev.Up()
	}
	if err != nil {
		t.close()
		return nil, fmt.Errorf("making the tunnel: %w", err)
	}
	return t, nil
}

// peer is the gateway in WireGuard's configuration protocol.
func peer(l policy.Link) string {
	return fmt.Sprintf("public_key=%s\npreshared_key=%s\nendpoint=%s\nallowed_ip=0.0.0.0/0\nallowed_ip=::/0\npersistent_keepalive_interval=%d\n",
		l.PeerKey.Hex(), l.PSK.Hex(), l.Endpoint, keepalive)
}

// set changes the way to the gateway and the pre-shared key while connections
// go on.
func (t *tunnel) set(l policy.Link) error {
	change := fmt.Sprintf("public_key=%s\nupdate_only=true\npreshared_key=%s\n", l.PeerKey.Hex(), l.PSK.Hex())
	if !same(t.link, l) {
		if err := t.bind.Route(l.Endpoint, l.Wrap); err != nil {
			return err
		}
		// A peer that is added anew shakes hands at once; one that has just
		// tried in vain waits for seconds.
		change = fmt.Sprintf("public_key=%s\nremove=true\n%s", l.PeerKey.Hex(), peer(l))
	}
	if err := t.dev.IpcSet(change); err != nil {
		return fmt.Errorf("changing the tunnel: %w", err)
	}
	t.link = l
	return nil
}

// close ends everything that goes through the tunnel.
func (t *tunnel) close() {
	t.end()
	t.dev.Close()
	_ = t.bind.Route(netip.AddrPort{}, nil) // Ends the stream; UDP cannot fail.
}

// stats asks WireGuard.
func (t *tunnel) stats() (policy.Stats, error) {
	text, err := t.dev.IpcGet()
	if err != nil {
		return policy.Stats{}, fmt.Errorf("asking the tunnel: %w", err)
	}
	return uapi.Stats(text)
}
