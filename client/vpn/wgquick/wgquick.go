// Package wgquick writes a lease as a configuration file of wg-quick(8), for
// WireGuard programs that know nothing of leases: routers, telephones.
//
// Such a program cannot renew a lease, and its traffic is not blocked when the
// tunnel ends; the file says so, and until when it works.
package wgquick

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

// keepalive keeps the way back through a NAT open, seconds.
const keepalive = 25

// Config returns the file for a lease whose private key is key. The only
// endpoint that such programs can use is one of UDP: Invalid when there is
// none. The text holds secrets.
func Config(gateway string, key lease.Key, l lease.Lease) (string, error) {
	endpoint, err := endpointOf(l)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s, until %s. This file is a secret.\n", gateway, l.NotAfter.UTC().Format(time.RFC3339))
	fmt.Fprint(&b, "# Then it ends, and traffic that the tunnel carried may go out beside it.\n\n[Interface]\n")
	fmt.Fprintf(&b, "PrivateKey = %s\n", text(key))
	fmt.Fprintf(&b, "Address = %s\n", join(l.Addresses))
	fmt.Fprintf(&b, "DNS = %s\n", join(l.DNS))
	fmt.Fprintf(&b, "MTU = %d\n\n[Peer]\n", l.MTU)
	fmt.Fprintf(&b, "PublicKey = %s\n", text(l.GatewayPublicKey))
	fmt.Fprintf(&b, "PresharedKey = %s\n", text(l.PSK))
	// Both families, also when the lease has one: the other must not leak.
	fmt.Fprint(&b, "AllowedIPs = 0.0.0.0/0, ::/0\n")
	fmt.Fprintf(&b, "Endpoint = %s\nPersistentKeepalive = %d\n", endpoint, keepalive)
	return b.String(), nil
}

func endpointOf(l lease.Lease) (netip.AddrPort, error) {
	for _, e := range l.Endpoints {
		if e.Proto == lease.UDP {
			return netip.AddrPortFrom(e.Addr, e.Ports[0]), nil
		}
	}
	return netip.AddrPort{}, problem.Invalid.Errorf("the gateway takes no plain WireGuard: export a lease of another one")
}

func text(k lease.Key) []byte {
	b, err := k.MarshalText()
	if err != nil {
		panic(err) // It has none.
	}
	return b
}

func join[T fmt.Stringer](list []T) string {
	var s []string
	for _, v := range list {
		s = append(s, v.String())
	}
	return strings.Join(s, ", ")
}
