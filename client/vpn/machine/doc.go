// Package machine decides what the VPN client does next. It is pure: no clock,
// no network, no goroutines. A driver (client/vpn) feeds events to Step, makes
// State.Policy true after each, and carries the returned actions out.
//
//	             Up                 handshake
//	Disconnected ──▶ Connecting ─────────────▶ Connected
//	     ▲              │   ▲                   │      ▲
//	     │         all  │   │ after a pause  silence   │ handshake
//	     │        fail  ▼   │                   ▼      │
//	     └───Down─── Blocked ◀──all fail─── Reconnecting
//
// Only Disconnected without Lockdown lets plain traffic out. In every other
// state there is the tunnel of a lease that is still valid, or nothing; and
// beside it, for the client's own sockets alone, the gateways' lease ports and
// the provider's API (policy.Policy.Reach).
//
// Connecting and Reconnecting try, in this order: the routes of the lease, of
// which there may be more than the maxTries that are tried, a new lease at the
// same gateway if the old one is not fresh, the next gateway of at most
// Candidates. Each try has HandshakeTimeout. When a lease from before shakes no
// hands the gateway is soon asked whether it knows it; one whose lease port does
// not answer either is left at once. While a new lease is asked for the old tunnel
// stays. When nothing is left the state is Blocked, and after a pause that grows up
// to maxPause all begins again; a change of the network ends the pause.
//
// Times are absolute and compared with the now of each Step, so that a
// suspended computer misses nothing: the first Tick after it finds what is due.
package machine
