// Package gateway admits clients to the VPN: who shows a certificate of the
// provider's client CA gets a place on the gateway's WireGuard for a while, and
// nothing else is asked (vpn.md 5 and 6; services/protocol/lease is the wire).
//
// # What it trusts
//
// The client CA, for "somebody may use the VPN, by this plan". It does not know
// who: certificates come from an anonymous pool, and one that names a mail
// address is refused. TLS is 1.3, both sides prove themselves, and the key
// exchange is X25519MLKEM768, so that the PSK of each lease makes the tunnel
// safe against who records today and computes later. Config can admit others;
// their leases then say so.
//
// # What it does
//
//   - It grants, renews and ends leases: at most three for a certificate, none
//     beyond the certificate's end or a day. A client that lost an answer asks
//     again with the same key and gets the same lease.
//   - It gives out addresses of a pool, the one that has rested longest first,
//     and none that rested less than ten minutes, except to the certificate
//     that had it: so that one that comes and goes takes no more than its share.
//   - It tells the data plane (DataPlane) which peers there are and which
//     addresses are limited. Within a second of its end a lease's peer is
//     removed, if the data plane answers at once; then the connections of its
//     addresses are forgotten, those of all that have ended together. Every 15 s
//     it compares, and sets right what differs.
//   - A peer without a handshake for 180 s is removed and set again: WireGuard
//     forgets where it called from and when.
//   - Where UDP does not pass, it carries WireGuard's datagrams over TLS
//     (lease.ALPN) on the same listener, to the data plane and nowhere else.
//
// # What it remembers
//
// Leases are in memory and in one file of RunDir, which is in memory as well
// (book.go): a new process has the peers of the old one, a reboot has none. A
// lease is a WireGuard key, a PSK, a place, a plan, an end, and an HMAC of the
// certificate under a key of this boot, by which leases are counted. There is no
// time of connect, no address outside the tunnel and no serial number; what has
// ended is overwritten. Networks are counted, for limits, as hashes under a seed
// of ten seconds. Logs have errors of the machine and nothing of clients, and so
// have the HTTP server's complaints no place in them. Whose lease it was that an
// address rests from, is known for these ten minutes, in memory alone.
//
// # Bounds
//
// Connections, those of one network and of one certificate at once (gate.go),
// connections and requests of one network in a minute, the size of requests,
// and the time of everything: a handshake 5 s, a request 10 s, a datagram of the
// fallback 10 s to write and 3 min of silence. Calls of the data plane have 5 s
// each, one at a time.
package gateway
