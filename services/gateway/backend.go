package gateway

import (
	"context"
	"net/netip"
	"time"

	"leap.example/services/protocol/lease"
)

// A Peer is a client as WireGuard knows it.
type Peer struct {
	PublicKey lease.Key
	PSK       lease.Key
	Addresses []netip.Prefix // One of each family at most; nothing else is taken from it, and nothing else is sent to it.
}

// A PeerState is what WireGuard says of a peer.
type PeerState struct {
	PublicKey     lease.Key
	LastHandshake time.Time // Zero: none.
	RX, TX        int64     // Bytes from and to the peer.
}

// Peers are those of the gateway's WireGuard device. All methods may be called
// at any time from any goroutine; they fail while the device is not there.
type Peers interface {
	// Set adds peers. Of one that is there it replaces key and addresses, and
	// keeps its session.
	Set(ctx context.Context, peers ...Peer) error
	// Remove removes peers, and all that is known of them. Those that are not
	// there are no error.
	Remove(ctx context.Context, keys ...lease.Key) error
	// List returns all peers in any order.
	List(ctx context.Context) ([]PeerState, error)
}

// Limits hold the traffic of limited clients to the rate of the Config.
type Limits interface {
	// Set makes addrs, the clients' addresses in the tunnel, the limited ones:
	// all of them and no others. It may cost what their number is.
	Set(ctx context.Context, addrs []netip.Addr) error
	// Add limits addrs as well, before their peer is set. Those that are limited
	// are left alone. It costs the same however many others there are.
	Add(ctx context.Context, addrs []netip.Addr) error
	// Remove lifts the limit of addrs. Those that have none are no error.
	Remove(ctx context.Context, addrs []netip.Addr) error
}

// Flows are the connections of clients that the data plane keeps track of.
type Flows interface {
	// Forget ends those of addrs, clients' addresses in the tunnel: no packet
	// comes back by them.
	Forget(ctx context.Context, addrs []netip.Addr) error
}

// A DataPlane carries the packets: kernel WireGuard and nftables on nodes,
// package netstack elsewhere. Package gatewaytest says what it has to hold.
type DataPlane struct {
	Peers  Peers
	Limits Limits
	Flows  Flows
}
