// Package keymanager knows the OpenPGP keys of an account: its own private
// key, and one public key for each correspondent, with the reason why it is
// believed. It encrypts, signs, decrypts and verifies with them; nothing else
// in the client touches OpenPGP.
//
// # Documents
//
// Both kinds live in the synchronised store, so that all devices of the
// account share them:
//
//	secret/ADDRESS  the own keys: {"v":1,"active":FPR,"keys":[{"private":…}]}; all of them decrypt, the active one signs
//	key/ADDRESS     a pin: {"v":1,"armored":…,"level":…,"encrypted":…,"verified":…,…}
//
// Buckets of the device: when an address was last looked up, and which address
// a key id belongs to.
//
// # Trust
//
// Each pin has a nick.Level, from "seen in a message" to "fingerprint
// compared". A key is replaced only by the rule of nick.CanReplace
// (leap-protocols.md 8.6); otherwise the known one is kept and the other's
// fingerprint remembered, for the user to see. When two devices disagree, the
// better vouched-for key wins; a merge never weakens a pin and never forgets
// an own key.
//
// A lookup asks the account's own provider; with a WKD lookup it also asks the
// domain of the address itself, and two equal answers count for more than one.
// The provider learns whom the user writes to. That a provider lies about a
// new correspondent is noticed only by such a second path or by comparing
// fingerprints.
//
// # Own key
//
// Version 4, Ed25519 and X25519 in the encoding that every OpenPGP program
// reads (EdDSA and ECDH of RFC 9580, 9), announcing SEIPDv2. It is valid for two
// years and extended, never changed, when less than 60 days are left.
package keymanager
