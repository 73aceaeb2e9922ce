// Package store keeps the shards of a database node in one Pebble: the layout
// of its keys, revision trees, changes by sequence, attachments, local
// documents, the catalogue of databases, and apply, the function that carries
// out one command.
//
// # Rules
//
// Everything that changes data is a [Command] in an [Entry], applied to a
// [Batch] of one shard by the one goroutine that owns the shard (package
// shard). Apply is a function of the shard's content and the entry alone:
// nothing here reads a clock or draws random numbers, and nothing depends on
// the order of a map. What is not deterministic is decided by the proposer and
// travels in the entry. A batch sees its own earlier entries, so that of two
// edits of one revision in one batch the second is refused.
//
// Reading goes through a [View], a snapshot of what has been committed; what
// is in a View is on disk. Package store trusts its caller to have checked who
// may do what.
//
// # Keys
//
// One Pebble per node, bytes in their own order. shard has 2 bytes, dbid 8,
// other integers are big-endian; ids and names are raw bytes, escaped and
// terminated where something follows. dbid is new at each creation of a
// database, so that a database made again under its name shares nothing with
// the former one.
//
//	D shard dbid c              counters: documents, deleted, update sequence, size, indexes
//	D shard dbid d docid        the document: winner, sequence, winner's body up to 4 KB, tree
//	D shard dbid b docid rev    body of another leaf, or of a winner over 4 KB
//	D shard dbid s seq          what changed: document, leaf revisions, deleted
//	D shard dbid t blob n       chunk n of an attachment, 256 KB
//	D shard dbid u digest       SHA-256 of an attachment -> blob, number of references
//	D shard dbid l id           local document
//	D shard dbid g n            the n-th purge: id of the document
//	D shard dbid x              index definitions, derived from design documents of language "query"
//	D shard 0 A                 applied index, highest time of a proposer
//	D shard 0 o opid            answer of a recent operation
//	D shard 0 p time opid       the same in order of expiry
//	D shard 0 v dbid blob       an upload that no document names yet
//	D 0 0 m name                the catalogue
//	I shard dbid index r key docid   index row; key is order-preserving
//	I shard dbid index p        how far the index is built
//	V shard dbid view r key docid n  row n that a view has of a document
//	V shard dbid view d docid   where the document's rows lie
//	V shard dbid view p         the sequence that the view has reached, number of rows
//	N name                      of this node: format, incarnation
//
// The shard comes first, then the database, then the table: a shard and a
// database in a shard are each one contiguous range, and dropping a database
// is a range delete. A document's body, its rows of the tables s and I and the
// counters are written in the same batch. Bodies of revisions that are no
// longer leaves are dropped in that batch too: there is nothing to compact.
//
// The update sequence of a database is counted by apply, one for each document
// written; it does not depend on the log that orders the entries.
//
// # Versions
//
// Apply is the same in each program that knows the version of the shard, which is
// part of row A: see [EntryVersion]. The version says what entries mean, the
// format of the store where rows lie. Members that a version has added to rows
// stand at their end, and are left out where they say nothing.
//
// # Damage
//
// Every table and log block of Pebble has a checksum. When one does not match,
// [Store.Damaged] closes and a marker file stays beside the store, so that
// [Open] refuses it until an operator has restored it: a store that has lost
// something must not answer as if it had not.
package store
