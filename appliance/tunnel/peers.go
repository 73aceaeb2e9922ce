package tunnel

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"leap.example/appliance/node"
	"leap.example/services/protocol/lease"
)

// A Peer is a user of the gateway as WireGuard knows it.
type Peer struct {
	PublicKey lease.Key
	PSK       lease.Key
	Addresses []netip.Prefix // All that it may use.
}

// A PeerState is what WireGuard says of a peer.
type PeerState struct {
	PublicKey     lease.Key
	LastHandshake time.Time // Zero: none.
	RX, TX        int64     // Bytes from and to the peer.
}

// Set adds peers. Of one that is there it replaces key and addresses, and keeps
// its session.
func (d *Device) Set(ctx context.Context, peers ...Peer) error {
	all := make([]wgtypes.PeerConfig, len(peers))
	for i, p := range peers {
		psk := wgtypes.Key(p.PSK)
		all[i] = wgtypes.PeerConfig{PublicKey: wgtypes.Key(p.PublicKey), PresharedKey: &psk, ReplaceAllowedIPs: true}
		for _, a := range p.Addresses {
			all[i].AllowedIPs = append(all[i].AllowedIPs, *ipNet(a))
		}
	}
	return d.configure(ctx, "setting", all)
}

// Remove removes peers, and all that is known of them. Those that are not there
// are no error.
func (d *Device) Remove(ctx context.Context, keys ...lease.Key) error {
	all := make([]wgtypes.PeerConfig, len(keys))
	for i, k := range keys {
		all[i] = wgtypes.PeerConfig{PublicKey: wgtypes.Key(k), Remove: true}
	}
	return d.configure(ctx, "removing", all)
}

func (d *Device) configure(ctx context.Context, what string, peers []wgtypes.PeerConfig) error {
	if err := ctx.Err(); err != nil || len(peers) == 0 {
		return err
	}
	err := wireguard(func(c *wgctrl.Client) error {
		return c.ConfigureDevice(node.TunnelDevice, wgtypes.Config{Peers: peers})
	})
	if err != nil {
		return fmt.Errorf("%s %d peers of %s: %w", what, len(peers), node.TunnelDevice, err)
	}
	return nil
}

// List returns all peers in any order.
func (d *Device) List(ctx context.Context) ([]PeerState, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var all []PeerState
	err := wireguard(func(c *wgctrl.Client) error {
		is, err := c.Device(node.TunnelDevice)
		if err != nil {
			return err
		}
		for _, p := range is.Peers {
			s := PeerState{PublicKey: lease.Key(p.PublicKey), RX: p.ReceiveBytes, TX: p.TransmitBytes}
			if p.LastHandshakeTime.Unix() > 0 {
				s.LastHandshake = p.LastHandshakeTime
			}
			all = append(all, s)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the peers of %s: %w", node.TunnelDevice, err)
	}
	return all, nil
}
