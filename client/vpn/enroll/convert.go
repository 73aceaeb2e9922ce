package enroll

import (
	"net/netip"
	"slices"

	"leap.example/client/vpn/machine"
	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/lease"
)

// Machine returns g as the machine takes it: how the tunnel is set up, and the
// routes to the gateway in the order to try. First come those of the address
// family by which the gateway was reached: two of UDP, then TLS and UDP in turn,
// as the machine does not try them all; like, the route that worked last, comes
// before all. ca and pair are for those over TLS.
func (g Grant) Machine(ca []byte, pair policy.Pair, like Kind) *machine.Lease {
	l := &machine.Lease{
		Gateway: g.Gateway, ID: g.Lease.LeaseID, NotAfter: g.Lease.NotAfter, RenewAfter: g.Lease.RenewAfter,
		Link: policy.Link{
			PrivateKey: g.Key, Addresses: g.Lease.Addresses, DNS: g.Lease.DNS[:min(len(g.Lease.DNS), maxDNS)],
			MTU: g.Lease.MTU, PeerKey: g.Lease.GatewayPublicKey, PSK: g.Lease.PSK,
		},
	}
	type ranked struct {
		machine.Route
		rank int
	}
	var routes []ranked
	for _, e := range g.Lease.Endpoints {
		for i, port := range e.Ports {
			r := ranked{Route: machine.Route{Endpoint: netip.AddrPortFrom(e.Addr, port)}, rank: 2 * i}
			if e.Proto == lease.UDP2TCP {
				r.Wrap = &policy.Wrap{ServerName: g.Gateway.Name, CA: ca, Pair: pair}
				r.rank += afterUDP
			}
			if g.Remote.IsValid() && e.Addr.Is4() != g.Remote.Is4() {
				r.rank += otherFamily
			}
			if KindOf(r.Route) == like {
				r.rank -= worked
			}
			routes = append(routes, r)
		}
	}
	slices.SortStableFunc(routes, func(a, b ranked) int { return a.rank - b.rank })
	for _, r := range routes {
		l.Routes = append(l.Routes, r.Route)
	}
	return l
}

// What makes a route come later; within one endpoint the order is the lease's.
const (
	afterUDP    = 3 // Between the second route of UDP and the third.
	otherFamily = 1000
	worked      = 10000
	maxDNS      = 4
)

// A Kind is a route of any gateway: what a network lets pass at one it will
// let pass at another. The zero Kind is none.
type Kind struct {
	Port uint16 `json:"port,omitempty"`
	TLS  bool   `json:"tls,omitempty"`
}

// KindOf returns the kind of a route.
func KindOf(r machine.Route) Kind { return Kind{r.Endpoint.Port(), r.Wrap != nil} }
