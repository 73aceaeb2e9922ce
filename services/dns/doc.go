// Package dns is the provider's name service in two roles that share one
// process, one configuration and one packet path.
//
// # Authoritative role
//
// Public listeners answer for the provider's own zones and for nothing else.
// The zones are data: a Config lists the start of authority, the name servers
// and typed records, and [ConfigProvider] derives the records every provider
// needs (mail exchangers, SPF, DKIM, DMARC, MTA-STS, the hosts of the
// services). Nothing is read from a zone file and nothing is transferred: AXFR
// and IXFR are refused, a second name server gets the same Config.
//
// Answers are minimal (RFC 9471 glue apart, which a zone without delegations
// does not have): the record set asked for, a CNAME chain followed inside the
// zones (RFC 1034, 4.3.2), the SOA in every negative answer (RFC 2308, 3),
// NXDOMAIN only where neither the name nor anything below it exists (RFC 8020).
// ANY gets one synthesized record (RFC 8482).
//
// # Resolver role
//
// Listeners on loopback, in the mesh, or on the tunnel side of a gateway, answer
// clients in the allowed networks only: own zones first, from the same data, so
// that the house works with the internet cut; then the cache; then the configured
// upstreams, by package upstream, and nobody else. Without upstreams a foreign
// name is SERVFAIL at once. Equal questions in flight are asked once. Listeners
// may be at addresses that come to the node later.
//
// What upstreams say is validated by package dnssec, unless the configuration
// says that nothing is: then the AD bit is never set, whatever an upstream says,
// and a relay that asks has no DANE: off, and visibly so. What is forged is
// SERVFAIL with a code of RFC 8914, after another upstream was asked, too. One
// answer is kept for all kinds of clients; each gets the signatures only with
// the DO bit, the AD bit only if it means something to it, and what is forged
// only with the CD bit.
//
// Names that are for private use are not asked upstream, unless the operator
// names their zone. Nothing of a client's question leaves but name and type.
//
// # Trust and limits
//
// A question is hostile input. A packet is parsed once, by
// github.com/miekg/dns, and whatever does not parse is answered FORMERR or
// dropped; see FuzzPacket. UDP answers are at most 1232 bytes (DNS flag day
// 2020) and at most what the client announced; the public role bounds the
// answers per client network and second, and beyond that tells every second
// client to come back by TCP and leaves the others without an answer, so that
// it is no amplifier. A client of the resolver is one address: a tunnel's is
// nobody else's. TCP connections, queries per connection, queries that wait, for
// one client and for all, the cache and the size of what is cached are bounded.
//
// Questions, names and client addresses are never logged.
package dns
