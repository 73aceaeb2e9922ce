// Package replicate copies one database into another by the replication
// protocol of CouchDB: every revision that the source has and the target has
// not, with its history, its attachments, conflicts and deletions.
//
// Both databases are peers, that is HTTP: a database of this node is reached
// through the node's own handler, with the rights of whoever asked. So there is
// one path, and a replication never can do what its owner cannot.
//
// # How it goes
//
// The source's changes are read in batches. Of each batch the target says which
// revisions it misses (_revs_diff); those are fetched (_bulk_get, or one
// document at a time where the peer has no such thing) and written with
// new_edits=false (_bulk_docs). Attachments that the target can have from an
// ancestor go as stubs, small ones inline, large ones stream from peer to peer.
// How far it has come is written into a local document on both sides; the next
// run starts where the newest session that both know ended, or from the
// beginning. Everything it writes may be written twice.
//
// # Whom it trusts
//
// Nobody. A peer may be slow, silent, endless, cut, or lie. Every read and write
// has a deadline, every answer and every element of one a limit, and what is in
// memory at a time is bounded by a few documents, not by what a peer sends.
// What may pass is tried again with growing pauses; then Run fails and its
// caller decides. Redirects are not followed.
//
// Passwords leave in requests to their peer only: no error, name or id of this
// package contains one.
package replicate
