// Package ca signs the certificates of clients. It alone holds the private
// key of the provider's client CA, so that a break-in at the web application
// yields at most the certificates that are in the pool
// (leap-protocols.md 3.3, 13.1).
//
// # What it does
//
//   - It keeps a pool of anonymous VPN certificates of each plan, each with its
//     key, in the database client_certificates. A certificate tells its plan to
//     gateways, in an extension. The web application takes one per request
//     and learns nothing that ties it to the request; every one that was taken
//     is made up for.
//   - It answers requests for SMTP certificates, which are bound to an
//     address: webapp makes the key pair, puts the public key into the same
//     database and waits; the private key never leaves webapp's memory but for
//     the user's answer.
//
// # What it signs
//
// The profiles of services/protocol/certs and nothing else: a requester
// chooses an address and a public key. The address must be canonical and in
// the provider's own domain, the key RSA of 2048 to 4096 bits or ECDSA P-256;
// names, lives and usages are the CA's. What does not fit is refused with a
// reason that the requester sees.
//
// # How
//
// It has no listener. It follows the changes of its database, at the start and
// after each change, and is told the requests that wait and the size of the
// pool. Signing is done at once; the pool is filled beside it, one entry at a
// time, because the machine has other work. When the
// database is away it tries again with growing pauses, for ever.
//
// Entries of the pool live as long as their certificates; a client should get
// one that lasts. So at intervals each entry is looked at by taking it out:
// what has less than half of its life left is dropped and made anew, the rest
// goes back. At most one entry is out at any time.
//
// # Lives
//
// There is no revocation list: life is the only limit, and therefore settable
// (Config). It ends at a midnight, so that it does not tell when it began.
// Nothing outlives the CA's own certificate.
//
// # State
//
// None but the key: killed at any instruction it loses at most the entry it
// was about to put into the pool.
package ca
