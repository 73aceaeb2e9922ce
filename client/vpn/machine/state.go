package machine

import (
	"net/netip"
	"slices"
	"time"

	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/lease"
)

// Limits and timers.
const (
	Candidates       = 3                // Gateways that are tried before a pause.
	MaxMeasured      = 8                // Gateways that are measured to choose them.
	maxTries         = 5                // Handshakes with one lease that may fail.
	HandshakeTimeout = 15 * time.Second // Of one try.
	checkAfter       = 4 * time.Second  // Without a handshake by a lease from before the gateway is asked whether it knows it.
	answerTimeout    = 45 * time.Second // Of one action; its requests have shorter ones of their own.
	renewPause       = time.Minute      // After a renewal that failed.
	minPause         = 2 * time.Second
	maxPause         = time.Minute
)

// A Phase is the main state.
type Phase uint8

// Phases.
const (
	Disconnected Phase = iota
	Connecting
	Connected
	Reconnecting // The tunnel is silent or is being moved; what goes in goes nowhere else.
	Blocked      // Nothing works; Problem says why. It is tried again at Deadline.
)

// String names p as users see it.
func (p Phase) String() string {
	return [...]string{"disconnected", "connecting", "connected", "reconnecting", "blocked"}[p]
}

// A Gateway is a candidate.
type Gateway struct {
	Name  string           // Its host name, which its certificate shows.
	Lease []netip.AddrPort // Where it gives leases, in the order to try.
}

// A Route is one way to a gateway.
type Route struct {
	Endpoint netip.AddrPort
	Wrap     *policy.Wrap // Nil: UDP.
}

// A Lease is the right to use one gateway until NotAfter.
type Lease struct {
	Gateway              Gateway
	ID                   lease.ID
	Link                 policy.Link // Without Endpoint and Wrap.
	Routes               []Route     // In the order to try; at least one.
	NotAfter, RenewAfter time.Time
}

// valid reports whether l may be used at now.
func (l *Lease) valid(now time.Time) bool { return l != nil && now.Before(l.NotAfter) }

// Options are what the user decides beside being connected.
type Options struct {
	Lockdown bool     // Nothing leaves while disconnected.
	LAN      bool     // The local network stays reachable.
	Exclude  []uint32 // Users outside the tunnel.
}

// An asked is the request whose answer is awaited; there is one at a time.
type asked uint8

const (
	nothing   asked = iota
	discovery       // Candidates.
	measuring       // Which of Gateways are near.
	enrolment       // A lease of Gateways[At].
	renewal         // Of Lease, because it is due.
	check           // Of Lease, by renewing it, because no handshake comes.
)

// A State is everything that the next step depends on. The zero State is
// Disconnected. Only Step changes one; what it points to is never changed.
type State struct {
	Phase   Phase
	Options Options
	Portal  *policy.Portal
	// Services are the provider's API and whatever else the client's own
	// sockets may reach while traffic is blocked.
	Services []netip.AddrPort

	Gateways []Gateway // Candidates, best first.
	At       int       // Index of the one in use or asked.
	Lease    *Lease    // In use. Nil: none.
	Route    int       // Index into Lease.Routes.
	Problem  string    // What went wrong last and what to do. Empty: nothing.

	// Deadline ends the present try, or the pause while Blocked. Zero: none.
	Deadline time.Time

	asking   asked
	seq      uint64    // Of the request that is asked, or was last.
	answer   time.Time // When its answer is given up.
	renew    time.Time // When the lease is to be renewed.
	fresh    bool      // The gateway has confirmed the lease since the last Connected.
	enrolled string    // The gateway that is asked for a lease, or was last.
	checked  bool      // The gateway was asked since then whether it knows the lease.
	tries    int       // Handshakes that failed since then.
	pauses   int       // Pauses since then.
	known    bool      // Gateways were looked for since Up.
	avoided  string    // The gateway that was left last.
}

// Asking reports whether the answer to request seq is awaited.
func (s State) Asking(seq uint64) bool { return s.asking != nothing && s.seq == seq }

// Policy is what s means for this computer's traffic.
func (s State) Policy() policy.Policy {
	p := policy.Policy{LAN: s.Options.LAN, Portal: s.Portal}
	if s.Phase == Disconnected {
		if !s.Options.Lockdown {
			return policy.Policy{Mode: policy.Open}
		}
		return p
	}
	p.Reach = s.reach()
	if s.Lease == nil || s.Phase == Blocked {
		return p
	}
	link := s.Lease.Link
	r := s.Lease.Routes[s.Route]
	link.Endpoint, link.Wrap = r.Endpoint, r.Wrap
	p.Mode, p.Tunnel, p.Exclude = policy.Tunnel, &link, s.Options.Exclude
	return p
}

// reach is where the client's own sockets may go.
func (s State) reach() []netip.AddrPort {
	list := slices.Clone(s.Services)
	if s.Lease != nil {
		list = append(list, s.Lease.Gateway.Lease...)
		list = append(list, s.Lease.Routes[s.Route].Endpoint)
	}
	for _, g := range s.Gateways {
		list = append(list, g.Lease...)
	}
	slices.SortFunc(list, netip.AddrPort.Compare)
	list = slices.Compact(list)
	return list[:min(len(list), policy.MaxReach)]
}
