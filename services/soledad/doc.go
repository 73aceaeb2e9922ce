// Package soledad is the sync server: it keeps each user's documents and blobs
// and synchronises them between the user's devices. It cannot read any of
// them.
//
// # What is served
//
// One HTTPS listener (port 2323), leap-protocols.md 7 and client.md 4.4:
//
//	GET          /                                     what is served
//	GET PUT POST /user-<uuid>/sync-from/<replica>      synchronisation: both soledad streams and the plain u1db stream
//	GET PUT      /user-<uuid>/doc/keyring              the account's wrapped keys
//	GET          /user-<uuid>/notify                   waits for a change
//	GET DELETE   /user-<uuid>/incoming[/<id>]          sealed mail that waits for a device
//	GET PUT DELETE POST /blobs/<uuid>/[<id>]           large bodies
//	POST         /stream/<uuid>/                       many blobs at once
//	GET PUT DELETE /shared/doc/<id>                    recovery documents of classic clients
//
// # Trust
//
// A request carries a user id and a token; the token's owner must be that
// user, and the path must name that user: another's is 403. The server trusts
// a client with nothing else. It checks that revisions, generations and
// transaction ids are in order (u1db), never what content says; clients, on
// their side, do not trust the server (client.md 4.5).
//
// Content, ids, addresses and users are not logged above debug.
//
// # Synchronisation
//
// A push is read document by document and stored in batches: under the user's
// lock the batch is judged against what is stored (u1db.Judge), appended in
// one operation, and the source's position is recorded. The lock is not held
// while a client is waited for. Another process may write the same database:
// the store then answers Stale, and the batch is judged again. So a stream that
// breaks leaves whole documents and the position after the last of them; the
// next attempt goes on there.
//
// Documents that a device just pushed do not come back to it: for two minutes
// the server remembers, per source and sync_id, which document it wrote at
// which generation. Forgetting early is harmless, the device meets its own
// document and finds it equal.
//
// A pull is a list of changes since the device's generation, taken once, and
// then the documents in small groups. A list has an end: past 100,000 changes
// the answer is the oldest of them with the generation of the last one, and
// the device asks again.
//
// # State and limits
//
// All state that matters is in the stores. A process may be killed at any
// instruction: what was not acknowledged is sent again and found equal.
// Entries, streams, blobs, quotas, waiting devices, transfers per user and
// memory are bounded by [Config] and the constants beside their use; every
// read and write of a connection has a deadline.
package soledad
