package netcfg

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A state is how the network is, or shall be.
type state struct {
	loopback bool              // It is up.
	links    []link            // The cards, by name.
	files    map[string]string // Texts, by path.
}

// A link is a network card.
type link struct {
	name, mac string
	up        bool
	mtu       int
	addresses []address
	routes    []route
	settings  map[string]string // Below /proc/sys/net, by path.
}

// An address is one of a card's own, without the link-local ones.
type address struct {
	prefix netip.Prefix
	left   time.Duration // Until the kernel removes it. 0: it stays.
}

// equal reports whether nothing needs to be done to make a into b. Time passes
// between looking and doing, and the kernel counts whole seconds.
func (a address) equal(b address) bool {
	slack := min(max(b.left/8, 2*time.Second), 10*time.Second)
	return a.prefix == b.prefix && (a.left == 0) == (b.left == 0) && (a.left-b.left).Abs() < slack
}

func (a address) String() string {
	if a.left == 0 {
		return a.prefix.String()
	}
	return fmt.Sprintf("%v for %v", a.prefix, a.left.Round(time.Second))
}

// origin is who made a route, as the kernel's protocol numbers say.
type origin int

const (
	fromBoot   origin = 3
	fromStatic origin = 4
	fromRouter origin = 9 // A router advertisement.
	fromDHCP   origin = 16
)

// A route is one of the main table that leaves by the card that has it.
type route struct {
	to     netip.Prefix
	via    netip.Addr // Not valid: what it leads to is on the link.
	metric int
	from   origin
}

func (r route) String() string {
	to, via := r.to.String(), ""
	if r.to.Bits() == 0 {
		to = map[bool]string{true: "default", false: "default6"}[r.to.Addr().Is4()]
	}
	if r.via.IsValid() {
		via = " via " + r.via.String()
	}
	return fmt.Sprintf("%s%s metric %d", to, via, r.metric)
}

// key is what the kernel tells routes apart by.
func (r route) key() route { return route{to: r.to, metric: r.metric} }

// String is the state as text, for people and for golden files.
func (s state) String() string {
	var b strings.Builder
	for _, l := range s.links {
		fmt.Fprintf(&b, "%s %s %s mtu %d\n", l.name, l.mac, map[bool]string{true: "up", false: "down"}[l.up], l.mtu)
		for _, path := range slices.Sorted(maps.Keys(l.settings)) {
			fmt.Fprintf(&b, "  %s = %s\n", path, l.settings[path])
		}
		for _, a := range slices.SortedFunc(slices.Values(l.addresses), func(a, b address) int { return cmp.Compare(a.String(), b.String()) }) {
			fmt.Fprintf(&b, "  address %v\n", a)
		}
		for _, r := range slices.SortedFunc(slices.Values(l.routes), func(a, b route) int { return cmp.Compare(a.String(), b.String()) }) {
			fmt.Fprintf(&b, "  route %v\n", r)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(s.files)) {
		fmt.Fprintf(&b, "%s:\n", path)
		for line := range strings.Lines(s.files[path]) {
			b.WriteString("  " + line)
		}
	}
	return b.String()
}
