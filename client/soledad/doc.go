// Package soledad is the client's replica of the user's documents: an
// encrypted database on this device, kept in step with the provider's soledad,
// which cannot read it (client.md 2 and 4; leap-protocols.md 7).
//
// # The store
//
// A [Store] is one SQLite file, encrypted page by page with Adiantum under a
// random key that the caller keeps (the vault's data key); each page carries a
// checksum inside the encryption, so that a changed file is an error and never
// wrong data. Whatever Update reported as done is on disk: WAL with
// synchronous=FULL.
//
// A document has a local id "type/…", a body of any form and up to 40 MiB, and
// a revision, the U1DB vector clock. Every change, own or received, is one
// generation of this replica's log. A [Tx] sees documents, the key-value
// buckets that never leave the device, and, through SQL, tables of other
// packages in the same file: all of it commits together or not at all. Hooks
// run inside the transaction that changes a document, wherever the change
// comes from, so an index made by a hook always agrees with the documents.
//
// Tables: meta (schema, replica, sync state), doc (newest version of each
// document, also deleted ones), log (generation, document, leaf of the chain),
// conflict (own versions that a server's version displaced, until merged),
// quarantine (what does not open), kv, garbage (blobs to remove).
//
// # Synchronisation
//
// [Store.Sync] pushes what the server does not have, pulls what changed there,
// and merges. Documents are sealed (envelope, LD1) when they leave and opened
// when they arrive, here and nowhere else; ids on the server are keyed hashes
// of the local ones. Bodies over 64 KiB travel as blobs, which are uploaded
// before the document that names them and fetched before it is stored: callers
// see one body. A server may lie: whatever does not open for exactly its id
// and revision is quarantined, and the rest goes on. An exchange may break at
// any point; the next one repeats what was not acknowledged, and everything it
// repeats is idempotent.
//
// Conflicts are merged on the device whose version came second, by the rule
// registered for the type, and the result supersedes both versions. Until a
// merge succeeds the displaced version stays in the store.
//
// Transaction ids are points of a keyed hash chain over the log (client.md
// 4.5), so that a server that has stored one cannot have another history.
// Generations are never used twice: a store that was restored from an old copy
// notices that the server knows more of it than it does itself, and goes on
// under a new replica uid.
//
// # Trust
//
// Trusted: this process, the key, the keyring. Not trusted: the server, the
// network, and the disk while the store is closed. An old copy of the whole
// file is noticed only through the server.
package soledad
