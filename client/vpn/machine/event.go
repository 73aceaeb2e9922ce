package machine

import (
	"net/netip"

	"leap.example/client/vpn/policy"
)

// An Event is one of the types below that end in a comment saying so. Every
// Step also does what is due at its now.
type Event any

type (
	// Up asks to be connected. With a Lease that is still valid nothing else
	// is needed to begin. Event.
	Up struct {
		Services []netip.AddrPort
		Lease    *Lease
	}
	// Down asks to be disconnected. Event.
	Down struct{}
	// Set replaces the options. Event.
	Set struct{ Options }
	// OpenPortal opens the portal window, when traffic is not open anyway;
	// nil closes it. Event.
	OpenPortal struct{ Portal *policy.Portal }
	// Choose says that the user prefers other gateways now. Event.
	Choose struct{}
	// Found answers Discover and Measure: candidates, best first. Measure: the
	// order would be better if their distance were known. Event.
	Found struct {
		Seq      uint64
		Gateways []Gateway
		Measure  bool
	}
	// Granted answers Enroll and Renew. Cached: the lease was kept from
	// before, the gateway was not asked. Event.
	Granted struct {
		Seq    uint64
		Lease  *Lease
		Cached bool
	}
	// Failed answers any action. Event.
	Failed struct {
		Seq     uint64
		Fault   Fault
		Problem string // For the user: what went wrong and what to do.
	}
	// Handshake says that the tunnel of the present policy has exchanged keys
	// since it was last silent. Event.
	Handshake struct{}
	// Silent says that the tunnel gets no answers. Event.
	Silent struct{}
	// Unapplied says that the present policy could not be made true. Event.
	Unapplied struct{ Problem string }
	// Network says that addresses or routes changed, or that the computer was
	// suspended. Event.
	Network struct{}
	// Tick says only that time has passed. Event.
	Tick struct{}
)

// A Fault says what a failure means for the next try.
type Fault uint8

// Faults.
const (
	Unreachable Fault = iota // Nobody answers.
	Unwilling                // This gateway gives no lease now: it is full, or not safe enough.
	Gone                     // The gateway does not know the lease.
	Forbidden                // No gateway will do: the certificate, the provider, this client.
)

// An Action is one of Discover, Measure, Enroll and Renew. Its answer is an event with
// its Seq; an action whose Seq is not asked for any more may be dropped.
type Action any

type (
	// Discover asks for candidates: Found or Failed. Action.
	Discover struct {
		Seq   uint64
		Avoid string // A gateway that has just failed: last, if at all.
	}
	// Measure asks for the order of Gateways by distance: Found or Failed. The
	// policy lets their lease ports be reached. Action.
	Measure struct {
		Seq      uint64
		Gateways []Gateway
	}
	// Enroll asks for a lease of a gateway: Granted or Failed. New: one that
	// was kept will not do. Action.
	Enroll struct {
		Seq     uint64
		Gateway Gateway
		New     bool
	}
	// Renew asks a lease to be prolonged: Granted or Failed. Action.
	Renew struct {
		Seq   uint64
		Lease *Lease
	}
)
