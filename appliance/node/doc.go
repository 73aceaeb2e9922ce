// Package node is the contract between the operator's workshop and a node: the
// node document, the identity with which a node is born, the places of files on
// a node, and the words of the agent's API. image/compile writes documents,
// image/deploy pushes them, everything below appliance/ obeys them.
//
// # The node document
//
// A [Document] says all that a node shall be: its addresses, its peers in the
// mesh, its services with their configurations, what they listen on, which
// secrets they are given. It is compiled from the provider instance, is the
// same whenever it is compiled from the same instance, and carries no secret:
// it names secrets by the SHA-256 of their values, and the values travel beside
// it ([Bundle]). A service's configuration is carried as it is: what a section
// means is the service's business.
//
// Documents have a generation, a number that only grows. It is given when a
// document is signed, so that two documents that say the same have the same
// [Document.Digest] and pushing the second changes nothing.
//
// # Signatures
//
// A document is obeyed because the provider signed it ([Sign], [Open]): Ed25519
// over the exact bytes and over what they are for, so that an identity can
// never pass for a document. The key that verifies them is in the identity.
//
// # Errors
//
// Everything is read strictly. A member that nobody knows, one that is there
// twice, a value of the wrong type or one that makes no sense is an [Error] that
// names line, column and member. Nothing is repaired or guessed.
//
// The package is pure: no disk, network or clock.
package node
