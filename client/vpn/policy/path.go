package policy

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// A Path makes policies true. Its methods may be called from any goroutine;
// Apply is never called twice at once.
type Path interface {
	// Apply makes p true as a whole, in place of the policy before. When it
	// fails, what was before still holds or, if that cannot be, nothing leaves:
	// the caller decides what is next. Applying the same policy twice is the same as once and
	// does not interrupt traffic; a new Endpoint or Wrap alone keeps the link
	// and its addresses. Invalid: p.Validate refuses it.
	Apply(ctx context.Context, p Policy) error
	// Stats says how the tunnel of the policy is. Without one its figures are
	// zero.
	Stats(ctx context.Context) (Stats, error)
	// Dial connects outside the tunnel ("tcp" or "udp"). Permission: addr is
	// not in Reach of the policy that is applied; with Mode Open sockets of the
	// caller's own do, and a Path may refuse. Connections made before a policy that does not name their address
	// are cut or starve.
	Dial(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error)
	// Close ends the Path's own work. It changes nothing about what is let
	// out where somebody else guards that (the kernel's table of the helper
	// stays); a Path that guards it itself lets nothing out any more.
	Close() error
}

// Stats are figures of the tunnel that is up.
type Stats struct {
	LastHandshake time.Time `json:"last_handshake,omitzero"` // Zero: none since the tunnel was made.
	RX            uint64    `json:"rx"`                      // Bytes received.
	TX            uint64    `json:"tx"`                      // Bytes sent.
	// Mode is what is applied, by whoever asked for it. It counts with an Epoch.
	Mode Mode `json:"mode"`
	// Epoch tells one life of the process that guards the traffic from another:
	// after a change it knows nothing of the policy applied last. 0: it lives and
	// dies with its caller.
	Epoch uint64 `json:"epoch,omitempty"`
}
