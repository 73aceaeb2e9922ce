// Package nick is the vocabulary of key discovery: a mail address in, the
// OpenPGP keys known for it out.
//
// It holds the canonical form of an address, the nickserver's reply
// (leap-protocols.md 4), the paths of a Web Key Directory
// (draft-koch-openpgp-webkey-service), the strict reading of one transferable
// public key (RFC 9580, 10.1), and the rule by which a known key may be
// replaced by another (leap-protocols.md 8.6, mail.md 7).
//
// A key that was parsed here belongs to nobody yet: its addresses are what
// the key says of itself. Who vouches for it is the Level of a Pin.
package nick
