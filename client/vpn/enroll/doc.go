// Package enroll asks gateways for leases: the client's side of the lease API
// (services/protocol/lease).
//
// A gateway is known by its certificate, which must be of its host name and
// signed by the provider's CA; nobody else is trusted. The client shows its
// anonymous certificate. TLS 1.3 with X25519MLKEM768 is required: the
// pre-shared key that the lease carries is what makes the tunnel safe against
// an enemy with a quantum computer later, and over a classical connection it
// would not be. Who must use an old gateway can allow that (Config.Classical).
//
// The connection is kept for the next request to the same gateway, so that a
// renewal costs one round trip. Every answer is bounded in time and length,
// redirects are refused, and no error names an address or a key.
package enroll
