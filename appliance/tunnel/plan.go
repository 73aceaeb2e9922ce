package tunnel

import (
	"fmt"
	"net/netip"
	"slices"

	"leap.example/services/protocol/lease"
)

// A state is how the device is, or shall be. The zero state: there is none.
type state struct {
	mtu       int
	public    lease.Key // The public key of its private one.
	port      uint16
	addresses []netip.Prefix // But the link-local ones.
	up        bool
}

func (c Config) state() state {
	return state{c.MTU, c.PrivateKey.Public(), c.Port, c.Addresses, true}
}

// A change is one step, that a [kernel] does.
type change struct {
	do      verb
	address netip.Prefix
	text    string // What it is made to be.
}

type verb int

const (
	create verb = iota
	setMTU
	configure // Key and port.
	dropAddress
	addAddress
	raise
)

func (c change) String() string {
	switch c.do {
	case create:
		return "create"
	case dropAddress:
		return "remove address " + c.address.String()
	case addAddress:
		return "add address " + c.address.String()
	case raise:
		return "up"
	default:
		return c.text
	}
}

// plan is what leads from how it is to how it shall be. The device is up last, so
// that nothing comes in before all is there.
func plan(have, want state) []change {
	var all []change
	if have.mtu == 0 {
		all = append(all, change{do: create})
	}
	if have.mtu != want.mtu {
		all = append(all, change{do: setMTU, text: fmt.Sprintf("mtu %d", want.mtu)})
	}
	if have.public != want.public || have.port != want.port {
		all = append(all, change{do: configure, text: fmt.Sprintf("key and port %d", want.port)})
	}
	for _, a := range have.addresses {
		if !slices.Contains(want.addresses, a) {
			all = append(all, change{do: dropAddress, address: a})
		}
	}
	for _, a := range want.addresses {
		if !slices.Contains(have.addresses, a) {
			all = append(all, change{do: addAddress, address: a})
		}
	}
	if !have.up {
		all = append(all, change{do: raise})
	}
	return all
}
