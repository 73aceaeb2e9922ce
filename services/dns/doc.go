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
// Listeners on loopback, or on the tunnel side of a gateway, answer clients in
// the allowed networks only: own zones first, from the same data, so that the
// house works with the internet cut; then the cache; then the configured
// upstreams, one after the other, UDP first and TCP when the answer is
// truncated. Without upstreams a foreign name is SERVFAIL at once. Every query
// has its own socket, hence a random port, and a random id (RFC 5452, 9), and
// equal questions in flight are asked once.
//
// The resolver does not validate DNSSEC. It therefore never sets the AD bit,
// whatever an upstream says, and a relay that asks it has no DANE: off, and
// visibly so. The DO and CD bits are passed on, so that a client can validate
// by itself.
//
// # Trust and limits
//
// A question is hostile input. A packet is parsed once, by
// github.com/miekg/dns, and whatever does not parse is answered FORMERR or
// dropped; see FuzzPacket. UDP answers are at most 1232 bytes (DNS flag day
// 2020) and at most what the client announced; the public role bounds the
// answers per client network and second, and beyond that tells every second
// client to come back by TCP and leaves the others without an answer, so that
// it is no amplifier. Workers, TCP connections, queries per connection, the
// cache and the size of what is cached are bounded.
//
// Questions, names and client addresses are never logged.
package dns
