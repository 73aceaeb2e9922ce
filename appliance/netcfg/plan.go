package netcfg

import (
	"maps"
	"slices"
	"strconv"
)

// A Plan is a list of changes, as text. None: all is as it shall be.
type Plan []string

// verb is what a change does.
type verb int

const (
	set verb = iota
	setMTU
	raise
	addAddress
	keepAddress // For another time than before.
	putRoute
	dropRoute
	dropAddress
	lower
	write
)

// A change is one step, that a [kernel] does.
type change struct {
	do      verb
	link    string
	mtu     int
	address address
	route   route
	path    string // Of a setting or a file.
	text    string
}

func (c change) String() string {
	switch c.do {
	case set:
		return c.link + ": set " + c.path + " = " + c.text
	case setMTU:
		return c.link + ": mtu " + strconv.Itoa(c.mtu)
	case raise:
		return c.link + ": up"
	case addAddress:
		return c.link + ": add address " + c.address.String()
	case keepAddress:
		return c.link + ": keep address " + c.address.String()
	case putRoute:
		return c.link + ": route " + c.route.String()
	case dropRoute:
		return c.link + ": remove route " + c.route.String()
	case dropAddress:
		return c.link + ": remove address " + c.address.prefix.String()
	case lower:
		return c.link + ": down"
	default:
		return "write " + c.path
	}
}

// plan is what leads from how it is to how it shall be, in the order in which to
// do it (see the package).
func plan(have, want state) []change {
	var phases [6][]change
	at := map[string]link{}
	for _, l := range have.links {
		at[l.name] = l
	}
	if want.loopback && !have.loopback {
		phases[0] = append(phases[0], change{do: raise, link: "lo"})
	}
	put := map[route]bool{} // Routes that replace those of the same key on any card.
	for _, l := range want.links {
		is := at[l.name]
		if l.up {
			phases[0] = append(phases[0], changeLink(is, l)...)
		}
		added, removed := changeAddresses(is, l)
		phases[1] = append(phases[1], added...)
		phases[4] = append(phases[4], removed...)
		for _, r := range ordered(l.routes) {
			if !slices.Contains(is.routes, r) {
				phases[2] = append(phases[2], change{do: putRoute, link: l.name, route: r})
				put[r.key()] = true
			}
		}
		if !l.up && is.up {
			phases[5] = append(phases[5], change{do: lower, link: l.name})
		}
	}
	for _, l := range want.links {
		for _, r := range at[l.name].routes {
			if !slices.Contains(l.routes, r) && !put[r.key()] {
				phases[3] = append(phases[3], change{do: dropRoute, link: l.name, route: r})
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(want.files)) {
		if text, ok := have.files[path]; !ok || text != want.files[path] {
			phases[5] = append(phases[5], change{do: write, path: path, text: want.files[path]})
		}
	}
	return slices.Concat(phases[:]...)
}

// changeLink sets up a card, but for addresses and routes. What the kernel
// should do with router advertisements it must know before the card is up.
func changeLink(is, want link) []change {
	var changes []change
	for _, path := range slices.Sorted(maps.Keys(want.settings)) {
		// A kernel without IPv6 lacks some.
		if value, ok := is.settings[path]; ok && value != want.settings[path] {
			changes = append(changes, change{do: set, link: want.name, path: path, text: want.settings[path]})
		}
	}
	if is.mtu != want.mtu {
		changes = append(changes, change{do: setMTU, link: want.name, mtu: want.mtu})
	}
	if !is.up {
		changes = append(changes, change{do: raise, link: want.name})
	}
	return changes
}

func changeAddresses(is, want link) (added, removed []change) {
	for _, a := range want.addresses {
		old := slices.IndexFunc(is.addresses, func(b address) bool { return b.prefix == a.prefix })
		switch {
		case old < 0:
			for _, b := range is.addresses {
				if !a.prefix.Addr().Is4() && b.prefix.Addr() == a.prefix.Addr() {
					added = append(added, change{do: dropAddress, link: want.name, address: b})
				}
			}
			added = append(added, change{do: addAddress, link: want.name, address: a})
		case !is.addresses[old].equal(a):
			added = append(added, change{do: keepAddress, link: want.name, address: a})
		}
	}
	for _, b := range is.addresses {
		drop := change{do: dropAddress, link: want.name, address: b}
		if !slices.ContainsFunc(want.addresses, func(a address) bool { return a.prefix == b.prefix }) && !slices.Contains(added, drop) {
			removed = append(removed, drop)
		}
	}
	return added, removed
}

// ordered has first what is on the link, since gateways must be reached by it.
func ordered(routes []route) []route {
	return slices.SortedStableFunc(slices.Values(routes), func(a, b route) int {
		switch {
		case a.via.IsValid() == b.via.IsValid():
			return 0
		case a.via.IsValid():
			return 1
		default:
			return -1
		}
	})
}
