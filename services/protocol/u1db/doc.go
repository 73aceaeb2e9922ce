// Package u1db is the arithmetic and the wire form of U1DB synchronisation,
// the protocol between a soledad replica and its server (leap-protocols.md
// 7.2-7.6, client.md 4.1). It is the same code on both ends.
//
// # What a replica is
//
// A replica has a uid, documents and a transaction log. A change of a document
// raises the replica's generation by one and gets a transaction id; a document
// carries a revision, which is a vector clock over the uids of the replicas
// that wrote it. Two versions are compared by their clocks alone ([Judge]);
// the content is opaque here, except that it is one JSON object, because the
// framing puts it on a line of its own.
//
// # What goes over the wire
//
//	GET  sync-from/<source>                        SyncInfo
//	POST sync-put: header, entry, content, …       SyncResult
//	POST sync-get: header                          SyncResult, entry, content, …
//	POST u1db-sync-stream: header, entry, …        SyncResult, entry, …
//	PUT  sync-from/<source>: SyncDone              {"ok": true}
//
// The streams are JSON arrays with one element per line; in the two soledad
// forms a document is a pair of lines, in the plain form one line with the
// content as a string inside. Readers take one document at a time, bound the
// length of a line, and are strict: a stream that is cut off, continues after
// its end, counts wrong or runs backwards is an error, never a shorter sync.
//
// # Trust
//
// Nothing that is read here is trusted. What a reader returns has a document
// id, a generation and a transaction id of the right shape; a source's
// revision is canonical too. Everything else (who may write, whether content
// opens) is the caller's to check.
package u1db
