// Package tunnel is a gateway's data plane on a node, beside the rules of package
// firewall: the WireGuard device of the gateway's users in the kernel, its peers,
// and the connections that the kernel keeps track of for them.
//
// It is no part of package netcfg, which owns network cards and makes them what a
// document says, nor of package mesh, whose peers are a document's, too. Peers
// here come and go with leases, by the thousand, and no document knows them.
//
// # Who does what
//
// The agent, which is root, prepares the node with [Frame]: it forwards packets if
// one of its services is a gateway, and only then; otherwise what a gateway left
// is removed. All else is done by the gateway's own process with CAP_NET_ADMIN:
// [Device.Up] makes the device what the configuration says, idempotently, and
// leaves peers alone, so that a restart of the process keeps running tunnels; the
// other methods are for leases.
//
// CAP_NET_ADMIN is much: it reads the keys of all WireGuard devices of the node,
// that of the mesh, too, and changes the node's firewall. Files, other processes
// and their memory are out of its reach.
//
// # What is remembered
//
// Of a peer, WireGuard knows the last endpoint, the time of the last handshake,
// and counters, until the peer is removed. Connections of users are forgotten by
// [Device.Forget]; those that carry the tunnel itself name the user's address in
// the world, and the kernel forgets them two minutes after the last packet. Nothing
// of this is on disk.
package tunnel
