package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"leap.example/client/vpn/policy"
	"leap.example/client/vpn/uapi"
)

// keepalive keeps the way back open through a NAT between.
const keepalive = 25 * time.Second

// everything is what goes through the tunnel: what may is the table's matter.
var everything = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}

// kernelWireGuard is the kernel's.
type kernelWireGuard struct {
	client *wgctrl.Client
	last   policy.Link
}

// newKernelWireGuard fails with unix.EOPNOTSUPP where the kernel has none.
func newKernelWireGuard() (wireguard, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = link0
	if err := netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs}); err != nil {
		return nil, err
	}
	client, err := wgctrl.New()
	if err != nil {
		return nil, err
	}
	return &kernelWireGuard{client: client}, nil
}

func (k *kernelWireGuard) set(l policy.Link, endpoint netip.AddrPort) error {
	private, psk, mark, every := wgtypes.Key(l.PrivateKey), wgtypes.Key(l.PSK), int(ours), keepalive
	peer := wgtypes.PeerConfig{
		PublicKey: wgtypes.Key(l.PeerKey), PresharedKey: &psk, Endpoint: net.UDPAddrFromAddrPort(endpoint),
		PersistentKeepaliveInterval: &every, ReplaceAllowedIPs: true,
	}
	for _, n := range everything {
		peer.AllowedIPs = append(peer.AllowedIPs, *ipNet(n))
	}
	cfg := wgtypes.Config{FirewallMark: &mark, Peers: []wgtypes.PeerConfig{peer}, ReplacePeers: !sameKeys(k.last, l)}
	if cfg.ReplacePeers {
		cfg.PrivateKey = &private
	}
	if err := k.client.ConfigureDevice(link0, cfg); err != nil {
		return err
	}
	k.last = l
	return nil
}

func (k *kernelWireGuard) stats() (policy.Stats, error) {
	d, err := k.client.Device(link0)
	if err == nil && len(d.Peers) != 1 {
		err = errors.New("somebody else has changed it")
	}
	if err != nil {
		return policy.Stats{}, fmt.Errorf("asking the kernel about the tunnel: %w", err)
	}
	p := d.Peers[0]
	return policy.Stats{LastHandshake: p.LastHandshakeTime, RX: uint64(p.ReceiveBytes), TX: uint64(p.TransmitBytes)}, nil
}

func (k *kernelWireGuard) port() (uint16, error) {
	d, err := k.client.Device(link0)
	if err != nil {
		return 0, err
	}
	return uint16(d.ListenPort), nil
}

func (k *kernelWireGuard) close() { k.client.Close() } // The link is removed by its name.

// ownWireGuard is wireguard-go in this process, on a TUN device.
type ownWireGuard struct {
	device *device.Device
	last   policy.Link
}

func newOwnWireGuard() (wireguard, error) {
	t, err := tun.CreateTUN(link0, device.DefaultMTU)
	if err != nil {
		return nil, err
	}
	// Its messages name peers and addresses.
	return &ownWireGuard{device: device.NewDevice(&slimTUN{Device: t}, &slimBind{Bind: conn.NewDefaultBind()}, &device.Logger{Verbosef: device.DiscardLogf, Errorf: device.DiscardLogf})}, nil
}

func (o *ownWireGuard) set(l policy.Link, endpoint netip.AddrPort) error {
	var b strings.Builder
	if !sameKeys(o.last, l) {
		fmt.Fprintf(&b, "private_key=%s\nfwmark=%d\nreplace_peers=true\n", l.PrivateKey.Hex(), ours)
	}
	fmt.Fprintf(&b, "public_key=%s\npreshared_key=%s\nendpoint=%v\npersistent_keepalive_interval=%d\nreplace_allowed_ips=true\n",
		l.PeerKey.Hex(), l.PSK.Hex(), endpoint, keepalive/time.Second)
	for _, n := range everything {
		fmt.Fprintf(&b, "allowed_ip=%v\n", n)
	}
	if err := o.device.IpcSet(b.String()); err != nil {
		return errors.New("wireguard refused the configuration") // Its error may repeat it.
	}
	o.last = l
	return o.device.Up()
}

func (o *ownWireGuard) stats() (policy.Stats, error) {
	text, err := o.device.IpcGet()
	if err != nil {
		return policy.Stats{}, fmt.Errorf("asking about the tunnel: %w", err)
	}
	return uapi.Stats(text)
}

func (o *ownWireGuard) port() (uint16, error) {
	text, err := o.device.IpcGet()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "listen_port="); ok {
			n, err := strconv.ParseUint(value, 10, 16)
			return uint16(n), err
		}
	}
	return 0, nil
}

func (o *ownWireGuard) close() {
	o.device.Close()
	<-o.device.Wait()
}

// sameKeys reports whether a session made with a goes on with b. The pre-shared
// key, which each renewal of a lease changes, counts from the next handshake on.
func sameKeys(a, b policy.Link) bool {
	return a.PrivateKey == b.PrivateKey && a.PeerKey == b.PeerKey
}
