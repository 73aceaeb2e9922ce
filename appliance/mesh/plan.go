package mesh

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"leap.example/appliance/node"
)

// A Plan is a list of changes, as text. None: all is as it shall be.
type Plan []string

const (
	// mtu leaves room for WireGuard over IPv6 on Ethernet.
	mtu = 1420

	// keepalive is what holds the state of a translator of addresses.
	keepalive = 25 * time.Second

	// silent is the age of a handshake after which a session is dead:
	// WireGuard's REJECT_AFTER_TIME.
	silent = 180 * time.Second
)

// difference is what the device lacks, for WireGuard and for people.
func difference(m node.Mesh, k Key, is *wgtypes.Device, now time.Time) (wgtypes.Config, Plan, error) {
	var c wgtypes.Config
	var p Plan
	if is.PrivateKey != k.key {
		c.PrivateKey = &k.key
		p = append(p, "key "+k.Public())
	}
	if port := int(m.Port); is.ListenPort != port {
		c.ListenPort = &port
		p = append(p, fmt.Sprintf("port %d", port))
	}
	wanted := map[wgtypes.Key]bool{}
	for _, peer := range m.Peers {
		key, err := wgtypes.ParseKey(peer.PublicKey)
		switch {
		case err != nil:
			return c, nil, fmt.Errorf("peer %s: its public key: %w", peer.Name, err)
		case key == k.key.PublicKey():
			return c, nil, fmt.Errorf("peer %s has this node's own key", peer.Name)
		}
		wanted[key] = true
		i := slices.IndexFunc(is.Peers, func(p wgtypes.Peer) bool { return p.PublicKey == key })
		have, verb := wgtypes.Peer{PublicKey: key}, "add"
		if i >= 0 {
			have, verb = is.Peers[i], "change"
		}
		if pc, changed := peerDifference(peer, have, now); changed || i < 0 {
			pc.UpdateOnly = i >= 0
			c.Peers = append(c.Peers, pc)
			p = append(p, fmt.Sprintf("%s peer %s %s", verb, peer.Name, describe(pc)))
		}
	}
	for _, have := range is.Peers {
		if !wanted[have.PublicKey] {
			c.Peers = append(c.Peers, wgtypes.PeerConfig{PublicKey: have.PublicKey, Remove: true})
			p = append(p, "remove peer "+have.PublicKey.String())
		}
	}
	return c, p, nil
}

// peerDifference sets only what differs.
func peerDifference(want node.Peer, is wgtypes.Peer, now time.Time) (wgtypes.PeerConfig, bool) {
	c := wgtypes.PeerConfig{PublicKey: is.PublicKey}
	changed := false
	address := netip.PrefixFrom(want.Address, want.Address.BitLen())
	if len(is.AllowedIPs) != 1 || is.AllowedIPs[0].String() != address.String() {
		c.ReplaceAllowedIPs, c.AllowedIPs = true, []net.IPNet{ipNet(address)}
		changed = true
	}
	interval := time.Duration(0)
	if want.Keepalive {
		interval = keepalive
	}
	if is.PersistentKeepaliveInterval != interval {
		c.PersistentKeepaliveInterval = &interval
		changed = true
	}
	var seen netip.AddrPort
	if is.Endpoint != nil {
		seen = is.Endpoint.AddrPort()
		seen = netip.AddrPortFrom(seen.Addr().Unmap(), seen.Port())
	}
	if want.Endpoint.IsValid() && seen != want.Endpoint && (!seen.IsValid() || now.Sub(is.LastHandshakeTime) > silent) {
		c.Endpoint = net.UDPAddrFromAddrPort(want.Endpoint)
		changed = true
	}
	return c, changed
}

// describe is what a change of a peer sets.
func describe(c wgtypes.PeerConfig) string {
	var parts []string
	for _, a := range c.AllowedIPs {
		parts = append(parts, "address "+a.IP.String())
	}
	if c.Endpoint != nil {
		parts = append(parts, "at "+c.Endpoint.String())
	}
	if c.PersistentKeepaliveInterval != nil {
		parts = append(parts, "keepalive "+c.PersistentKeepaliveInterval.String())
	}
	return strings.Join(parts, " ")
}

func ipNet(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
