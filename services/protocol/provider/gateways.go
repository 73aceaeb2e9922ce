package provider

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

// The list of gateways, as webapp serves it on the API port to everybody:
// GET [PathGateways]?tz=HOURS&location=KEY. Both members of the query are the
// caller's wish and may be left out: webapp does not ask where an address is.
// Who shows an invite token in [GatewayTokenHeader] also sees the private
// gateways that it is for.
const (
	PathGateways       = "/vpn/v1/gateways"
	GatewayTokenHeader = "X-Leap-Gateway-Token"
)

// A GatewayList is what is known of all gateways, the best choice first.
type GatewayList struct {
	Gateways  []Gateway           `json:"gateways"`
	Locations map[string]Location `json:"locations"`
}

// A Gateway is one VPN gateway.
type Gateway struct {
	Name       string             `json:"name"`        // Of the node.
	Host       string             `json:"host"`        // Name in the certificate of its lease API, which the provider's CA signed.
	Addresses  []netip.Addr       `json:"addresses"`   // By which it is reached, the preferred one first.
	LeasePorts []uint16           `json:"lease_ports"` // Of the lease API, TCP, the preferred one first.
	Transports []GatewayTransport `json:"transports"`  // The preferred one first.
	Location   string             `json:"location,omitempty"`
	Plans      []lease.Plan       `json:"plans"`
	IPv6       bool               `json:"ipv6"` // The tunnel carries it.
	Private    bool               `json:"private,omitempty"`

	Healthy bool `json:"healthy"` // It answered a moment ago.
	Load    int  `json:"load"`    // 0 (idle) to [lease.MaxLoad], if it is healthy.
}

// A GatewayTransport is a way of WireGuard's datagrams.
type GatewayTransport struct {
	Proto lease.Proto `json:"proto"` // One that is not known is to be skipped.
	Ports []uint16    `json:"ports"` // The preferred one first.
}

// ParseGateways reads a list; errors are Invalid.
func ParseGateways(data []byte) (GatewayList, error) {
	var l GatewayList
	if err := decode(data, "list of gateways", &l); err != nil {
		return GatewayList{}, err
	}
	if err := l.Validate(); err != nil {
		return GatewayList{}, err
	}
	return l, nil
}

// Validate checks what clients build on; errors are Invalid.
func (l GatewayList) Validate() error {
	seen := map[string]bool{}
	for _, g := range l.Gateways {
		if err := g.validate(); err != nil {
			return err
		}
		if _, ok := l.Locations[g.Location]; g.Location != "" && !ok {
			return problem.Invalid.Errorf("gateway %s is at a place that is not described, %q", g.Name, g.Location)
		}
		if seen[g.Name] {
			return problem.Invalid.Errorf("there are two gateways %s", g.Name)
		}
		seen[g.Name] = true
	}
	return nil
}

func (g Gateway) validate() error {
	failf := func(format string, args ...any) error {
		return problem.Invalid.Errorf("gateway %q: "+format, append([]any{g.Name}, args...)...)
	}
	switch {
	case !hostname(g.Name) || !hostname(g.Host):
		return failf("name and host are required")
	case len(g.Addresses) == 0 || len(g.LeasePorts) == 0 || len(g.Transports) == 0:
		return failf("addresses, lease_ports and transports are required")
	case slices.ContainsFunc(g.Addresses, func(a netip.Addr) bool {
		return !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || a.Zone() != ""
	}):
		return failf("an address is not that of a host")
	case slices.Contains(g.LeasePorts, 0):
		return failf("there is no port 0")
	case g.Load < 0 || g.Load > lease.MaxLoad:
		return failf("load is not between 0 and %d", lease.MaxLoad)
	}
	for _, t := range g.Transports {
		if t.Proto == "" || len(t.Ports) == 0 || slices.Contains(t.Ports, 0) {
			return failf("a transport has no protocol or no ports")
		}
	}
	return nil
}

// EIP returns the list as eip-service.json, version 1, has it: without any
// gateway (see [EIPService]).
func (l GatewayList) EIP() EIPService {
	return EIPService{Serial: 1, Version: 1, Gateways: []EIPGateway{}, Locations: l.places(nil)}
}

// EIP3 returns the gateways that are not private as eip-service.json, version
// 3, has them. auth is "anon" if certificates need no account, else "".
func (l GatewayList) EIP3(auth string) EIPService3 {
	s := EIPService3{Serial: 1, Version: 3, Auth: auth, Gateways: []EIPGateway3{}}
	var public []Gateway
	for _, g := range l.Gateways {
		if !g.Private {
			public = append(public, g)
			s.Gateways = append(s.Gateways, g.eip3())
		}
	}
	s.Locations = l.places(public)
	return s
}

func (g Gateway) eip3() EIPGateway3 {
	e := EIPGateway3{Host: g.Host, Location: g.Location, Capabilities: Capabilities3{
		Transport: []EIPTransport{}, Limited: !slices.Contains(g.Plans, lease.Unlimited),
	}}
	for _, a := range g.Addresses {
		switch {
		case e.IPAddress == "" && a.Is4():
			e.IPAddress = a.String()
		case e.IPAddress6 == "" && a.Is6():
			e.IPAddress6 = a.String()
		}
	}
	if e.IPAddress == "" { // Readers want one, of whatever kind.
		e.IPAddress = e.IPAddress6
	}
	for _, t := range g.Transports {
		one := EIPTransport{
			Type: TransportWireGuard, Protocols: []string{string(t.Proto)}, Ports: []string{},
			Options: map[string]string{optionLeasePort: strconv.Itoa(int(g.LeasePorts[0]))},
		}
		for _, p := range t.Ports {
			one.Ports = append(one.Ports, strconv.Itoa(int(p)))
		}
		e.Capabilities.Transport = append(e.Capabilities.Transport, one)
	}
	return e
}

// Only returns the list with the gateways for which keep is true, and the
// places where they stand.
func (l GatewayList) Only(keep func(Gateway) bool) GatewayList {
	out := GatewayList{Gateways: []Gateway{}}
	for _, g := range l.Gateways {
		if keep(g) {
			out.Gateways = append(out.Gateways, g)
		}
	}
	out.Locations = l.places(out.Gateways)
	return out
}

// places are the locations of gateways.
func (l GatewayList) places(of []Gateway) map[string]Location {
	places := map[string]Location{}
	for _, g := range of {
		if p, ok := l.Locations[g.Location]; ok {
			places[g.Location] = p
		}
	}
	return places
}

// A GatewayWish is where the caller would like a gateway to be.
type GatewayWish struct {
	Location string   // Key of a location. "": any.
	Timezone *float64 // Hours east of Greenwich. Nil: any.
}

// Sort brings the gateways into order: those that are healthy first, then those
// at the wished location, then the nearer ones by time zone (leap-protocols.md
// 11.2), then those with less load. Equal ones keep their order: whoever serves
// the list shuffles it before, so that not everybody takes the same.
func (l GatewayList) Sort(w GatewayWish) {
	far := map[string]float64{}
	for key, place := range l.Locations {
		far[key] = maxTimezones
		if zone, err := ParseTimezone(place.Timezone); err == nil && w.Timezone != nil {
			far[key] = TimezoneDistance(*w.Timezone, zone)
		}
	}
	rank := func(g Gateway) (r [4]float64) {
		if !g.Healthy {
			r[0] = 1
		}
		if w.Location != "" && g.Location != w.Location {
			r[1] = 1
		}
		r[2] = maxTimezones
		if d, ok := far[g.Location]; ok {
			r[2] = d
		}
		r[3] = float64(g.Load)
		return r
	}
	slices.SortStableFunc(l.Gateways, func(a, b Gateway) int {
		x, y := rank(a), rank(b)
		return slices.Compare(x[:], y[:])
	})
}

// maxTimezones is the distance of a place whose time zone is not known: more
// than any other.
const maxTimezones = 13

// TimezoneDistance returns how many hours lie between two time zones, around
// the earth the shorter way: 0 to 12.
func TimezoneDistance(a, b float64) float64 {
	d := a - b
	if d < 0 {
		d = -d
	}
	for d >= 24 {
		d -= 24
	}
	return min(d, 24-d)
}

// ParseTimezone reads hours east of Greenwich: "+1", "-3.5", "0", from -12 to
// 14; errors are Invalid.
func ParseTimezone(s string) (hours float64, err error) {
	digits := strings.TrimLeft(s, "+-")
	if len(s) > 6 || len(s)-len(digits) > 1 || strings.Trim(digits, "0123456789.") != "" {
		return 0, problem.Invalid.Errorf("%q is no time zone: write hours east of Greenwich, like +1", s)
	}
	hours, err = strconv.ParseFloat(s, 64)
	if err != nil || hours < -12 || hours > 14 {
		return 0, problem.Invalid.Errorf("%q is no time zone: write hours east of Greenwich, -12 to 14", s)
	}
	return hours, nil
}
