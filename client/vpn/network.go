package vpn

import (
	"net"
	"slices"
	"strings"
	"time"
)

const (
	lookPace  = 5 * time.Second  // Between two looks at the addresses.
	suspended = 10 * time.Second // By which the wall clock runs ahead after a sleep.
)

// A network notices that the computer is elsewhere: that its addresses have
// changed, or that it slept. It asks the system again and again: a look costs
// microseconds, and works everywhere.
type network struct {
	looked time.Time // With both clocks.
	addrs  string
}

// changed looks by addresses, at most every lookPace.
func (n *network) changed(now time.Time, addresses func() string) bool {
	first := n.looked.IsZero()
	// The monotonic clock stands still while the computer sleeps.
	slept := !first && now.Round(0).Sub(n.looked.Round(0))-now.Sub(n.looked) > suspended
	if !first && !slept && now.Sub(n.looked) < lookPace {
		return false
	}
	addrs := n.addrs
	n.looked, n.addrs = now, addresses()
	return !first && (slept || addrs != n.addrs)
}

// ownAddresses lists those of the links that are up, without loopback and
// tunnels, which come and go with the VPN itself.
func ownAddresses() string {
	links, err := net.Interfaces()
	if err != nil {
		return ""
	}
	var list []string
	for _, link := range links {
		if link.Flags&net.FlagUp == 0 || link.Flags&(net.FlagLoopback|net.FlagPointToPoint) != 0 {
			continue
		}
		addrs, err := link.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			list = append(list, link.Name+" "+a.String())
		}
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}
