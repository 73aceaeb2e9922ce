package lease

import (
	"encoding/json"
	"net/netip"
	"slices"
	"time"

	"leap.example/services/protocol/problem"
)

// A Plan is the traffic class of a certificate, and so of its leases.
type Plan string

const (
	Limited   Plan = "limited"   // At most RateBytesPerS in each direction.
	Unlimited Plan = "unlimited" // As fast as it goes.
)

// MTUs that a lease may tell, bytes: IPv6 needs the least (RFC 8200, 5), and
// what is more than the greatest does not fit into an Ethernet frame.
const (
	MinMTU = 1280
	MaxMTU = 1500
)

// Most members of the lists of a Lease, and most ports of an Endpoint.
const maxList = 16

// A Lease is a client's place on a gateway until NotAfter. It holds secrets.
type Lease struct {
	LeaseID          ID             `json:"lease_id"`
	GatewayPublicKey Key            `json:"gateway_public_key"`
	Endpoints        []Endpoint     `json:"endpoints"`            // In the order of preference.
	Addresses        []netip.Prefix `json:"addresses"`            // The client's in the tunnel: one /32, one /128, or both.
	DNS              []netip.Addr   `json:"dns"`                  // The only resolvers that answer in the tunnel.
	MTU              int            `json:"mtu"`                  // Of the tunnel's packets, bytes.
	PSK              Key            `json:"psk"`                  //
	PQ               bool           `json:"pq"`                   // The gateway sent the PSK over X25519MLKEM768.
	Plan             Plan           `json:"plan"`                 //
	RateBytesPerS    int64          `json:"rate_bytes_per_s"`     // Of a limited plan, else 0.
	NotAfter         time.Time      `json:"not_after"`            // The gateway drops the peer then.
	RenewAfter       time.Time      `json:"renew_after,omitzero"` // From then on the client renews.
}

// An Endpoint is an address at which the gateway takes WireGuard's datagrams.
type Endpoint struct {
	Addr  netip.Addr `json:"addr"`
	Ports []uint16   `json:"ports"` // In the order of preference.
	Proto Proto      `json:"proto"`
}

// ParseLease reads a Lease; errors are Invalid, and so is a lease that cannot
// be used. Endpoints of unknown protocols are left out.
func ParseLease(data []byte) (Lease, error) {
	var l Lease
	if len(data) > MaxReply || json.Unmarshal(data, &l) != nil {
		return Lease{}, problem.Invalid.Errorf("malformed lease")
	}
	var known []Endpoint
	for _, e := range l.Endpoints {
		if e.Proto == UDP || e.Proto == UDP2TCP {
			known = append(known, e)
		}
	}
	l.Endpoints = known
	if err := l.Validate(); err != nil {
		return Lease{}, err
	}
	return l, nil
}

// Validate returns an Invalid error for a lease by which no tunnel can be
// made. It does not ask whether the lease is over.
func (l Lease) Validate() error {
	switch {
	case l.LeaseID == ID{}:
		return problem.Invalid.Errorf("lease: lease_id is missing")
	case l.GatewayPublicKey.IsZero() || l.PSK.IsZero():
		return problem.Invalid.Errorf("lease: a key is missing")
	case l.MTU < MinMTU || l.MTU > MaxMTU:
		return problem.Invalid.Errorf("lease: mtu is not between %d and %d", MinMTU, MaxMTU)
	case l.NotAfter.IsZero() || l.RenewAfter.After(l.NotAfter):
		return problem.Invalid.Errorf("lease: not_after is missing, or before renew_after")
	case !(l.Plan == Limited && l.RateBytesPerS > 0) && !(l.Plan == Unlimited && l.RateBytesPerS == 0):
		return problem.Invalid.Errorf("lease: plan and rate_bytes_per_s do not agree")
	}
	if err := l.GatewayPublicKey.checkPublic(); err != nil {
		return err
	}
	if len(l.Endpoints) == 0 || len(l.Endpoints) > maxList {
		return problem.Invalid.Errorf("lease: not 1 to %d endpoints", maxList)
	}
	for _, e := range l.Endpoints {
		if err := e.validate(); err != nil {
			return err
		}
	}
	return l.validateInside()
}

func (e Endpoint) validate() error {
	if !unicast(e.Addr) || len(e.Ports) == 0 || len(e.Ports) > maxList {
		return problem.Invalid.Errorf("lease: an endpoint has no address, or not 1 to %d ports", maxList)
	}
	if slices.Contains(e.Ports, 0) {
		return problem.Invalid.Errorf("lease: an endpoint has port 0")
	}
	if e.Proto != UDP && e.Proto != UDP2TCP {
		return problem.Invalid.Errorf("lease: an endpoint has an unknown protocol")
	}
	return nil
}

// validateInside checks what the client's own interface gets.
func (l Lease) validateInside() error {
	var v4, v6 int
	for _, p := range l.Addresses {
		if !p.IsSingleIP() || !unicast(p.Addr()) {
			return problem.Invalid.Errorf("lease: addresses are not of one host")
		}
		if p.Addr().Is4() {
			v4++
		} else {
			v6++
		}
	}
	if v4 > 1 || v6 > 1 || v4+v6 == 0 {
		return problem.Invalid.Errorf("lease: not one IPv4 address, one IPv6 address, or both")
	}
	if len(l.DNS) == 0 || len(l.DNS) > maxList {
		return problem.Invalid.Errorf("lease: not 1 to %d resolvers", maxList)
	}
	for _, a := range l.DNS {
		if !unicast(a) {
			return problem.Invalid.Errorf("lease: malformed address of a resolver")
		}
	}
	return nil
}

func unicast(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.Is4In6() && a.Zone() == ""
}
