// Package dnssec says whether an answer of the DNS is what the owners of its
// zones signed: RFC 4033 to 4035, with the corrections of RFC 6840, NSEC3 of
// RFC 5155 and negative trust anchors of RFC 7646.
//
// A [Validator] holds no connection. Whoever uses it gives it an answer and a
// way to ask the same upstream for the keys of zones; it then walks from the
// closest trust anchor down to the zone that signed, one DS record at a time,
// and remembers what it found. Nothing that an upstream says is believed, not
// even that a zone is unsigned: that too needs a signed proof by its parent.
//
// # Verdicts
//
// Secure: every record that is left in the answer is signed by a chain that
// begins at a trust anchor, and what is not there was proven not to be there.
// Insecure: a signed proof says that a zone on the way is not signed, or signed
// in a way that cannot be checked here. Bogus: neither; the answer must not be
// used. When keys could not be had at all, there is an error and no verdict.
//
// Records of an answer that do not belong to it are removed, and TTLs are cut
// to what the signatures allow (RFC 4035, 5.3.3).
//
// # Limits
//
// The work that one answer can cause is bounded, whatever its zone does: the
// number of signatures verified, of keys tried that share a tag, of hashes
// computed and of questions asked (CVE-2023-50387, CVE-2023-50868). Beyond them
// an answer is bogus. NSEC3 with more than 100 iterations proves nothing: its
// zone counts as unsigned (RFC 9276, 3.2). The memory of the walk is bounded.
//
// # Algorithms
//
// 8, 10, 13, 14 and 15 (RFC 8624), digests SHA-256 and SHA-384. A zone that has
// nothing else is insecure, those signed with SHA-1 included (RFC 9905).
//
// Trust anchors are configuration: nothing is learned from the network in the
// way of RFC 5011. The root's keys come with a release.
package dnssec
