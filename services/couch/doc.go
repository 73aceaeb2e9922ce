// Package couch is the only door to the provider's databases: typed stores, one
// for each database, over the HTTP API of CouchDB. The stores satisfy the
// interfaces of the roles by shape; no role knows more of the database than
// its own methods and the kinds of their errors.
//
// # Databases
//
// [DB.Setup] makes what [Accounts] may open (leap-protocols.md 5.1): users,
// identities, invite_codes, messages, tickets, client_certificates, shared,
// outbound, nodes, and tokens_N and sessions_N, which are replaced every 30 days
// ([Keeper], [DB.Rotate]). user-<id> are made one by one ([UserDBs]). Security
// objects and indexes are data in schema.go; what is there is compared, and
// only differences are written.
//
// # Nodes, repetition, deadlines
//
// All requests go to one node, chosen at random, while it works (balancer).
// attempts is the only place that repeats a request: a few times within about a
// second, each time under the same op id (X-Leap-Op), by which a node of ours
// does a write once. Where op ids are not known, a write that was answered with
// a conflict after a lost answer is read back and compared with what was sent.
// Every request has a deadline; a feed has none, but a node that says nothing
// for half a minute, not even its heartbeat, has failed.
//
// A read that has no answer for a while is sent to a second node, and the first
// answer counts (DB.Hedges): at most one in ten, never a write or a feed. No
// service has its own writes taken back by that: nodes of ours catch up before
// they answer, and Apache CouchDB reads documents from a majority. Its lists and
// queries are of any copy, whichever node is asked; what has to be seen at once
// is read by its id.
//
// Errors are kinds (package problem): NotExist, Exist (an id is claimed), Stale
// (a document was changed since it was read), Limit, Unavailable (the node is
// away, or the context is done), Internal (the database refused what only our
// fault can explain, its account for one). Their texts never name a document.
//
// Reads ask a node of ours to catch up first (X-Leap-Fresh): a service that has
// written through one node must not be contradicted by another that reads
// through a node which has not heard of it. Without a majority reads fail like
// writes, except for addresses, foreign keys and notices, where an old answer is
// better than none.
//
// # What is relied on
//
// The rules of database.md section 12, so that Apache CouchDB will do: sequences
// and revisions are opaque; what must be unique is an id that is created; every
// _find names its limit and its index; ranges go over numbers or over strings
// of hex digits; ids are made of [A-Za-z0-9_.:-]; bodies are attachments of type
// application/octet-stream with a checksum of our own. On Apache CouchDB two
// nodes may accept different edits of one revision: with Config.External every
// write is read back from a quorum, and the edit that lost is withdrawn. Nothing
// is used that Apache CouchDB 3.3 has not.
//
// # A user's database
//
//	d:<id>             a U1DB document: revision, content, generation (":" for "%")
//	gen-0000000007     one entry of the log: transaction id, document
//	replica            the claim of the replica uid
//	in-<id>            a sealed incoming message, as attachment
//	blob-<ns>:<id>     a blob, as attachment, or the marker of a deleted one
//	_local/config      replica uid, and up to where the log is known to be settled
//	_local/sync_<uid>  how far the replica uid is known
//
// A change is written in two steps, since only single documents are atomic.
// First the entry of the log is created, which claims the generation; then the
// document is written, which names the generation. In between, the generation is
// not settled, and neither it nor what is behind it is shown to anybody: a
// device that was told of a generation never looks at it again. If the second
// step does not come within ten seconds, whoever reads writes the document
// again as it is, under that generation. That settles it, and takes the revision
// away from the writer, should he only be slow: his second step fails, Stale,
// and he judges and begins anew. Entries are never removed, since devices name
// old ones; one whose document has changed again is marked, so that reading the
// log passes over it.
//
// In the same way a body of more than 4 MiB is uploaded first and described
// then; until it is described it is not there, and who comes next completes it.
package couch
