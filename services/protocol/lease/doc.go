// Package lease is the vocabulary by which a client rents a place on a VPN
// gateway: the documents of the lease API, their limits, and the framing of
// WireGuard's datagrams over TLS where UDP does not pass (vpn.md 6).
//
//	POST   /vpn/v1/lease       Request -> Lease   a new lease
//	PUT    /vpn/v1/lease/{id}  Request -> Lease   renewed: the PSK changes, the key may
//	DELETE /vpn/v1/lease/{id}             204     ended
//	GET    /vpn/v1/status              -> Status  coarse, the same for everybody
//
// The API is spoken over TLS 1.3 alone. A client shows a certificate of the
// provider's client CA; it tells the plan and nothing about the person. The
// one that knows a lease's ID and holds any valid certificate may renew or end
// it, so that a lease outlives the certificate by which it was begun; the ID
// is as secret as a key. Refusals are problem documents: Invalid (key),
// Permission (plan or certificate), Exist (the certificate has as many leases
// as it may, or the key has one), Limit (too many requests), NotExist (the
// lease is over: ask for a new one), Unavailable (no address is free).
//
// Every lease carries a pre-shared key. It makes the tunnel safe against an
// enemy who records today and has a quantum computer later only if the TLS
// connection that carried it was: PQ says that the gateway saw X25519MLKEM768,
// and the client compares its own side.
//
// A receiver skips members it does not know, and protocols of endpoints that
// it does not know; what it does know it checks. Nothing here is printed by
// accident: keys, leases' IDs and what holds them hide their contents from fmt.
package lease
