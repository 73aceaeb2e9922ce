// Package backup is the form of a backup of a database node, and the places
// where backups are kept.
//
// # The form
//
// A backup is a line with a magic word and the version, a line with a [Header],
// both in the clear, and a stream encrypted by age to the operator's recipients.
// In that lies a stream of zstd, and in that parts, each a sequence of blocks
// with their length before them (4 bytes, big-endian) and an empty block at the
// end:
//
//	Manifest         JSON: what the backup holds
//	shard            for each of Manifest.Shards, as store.Snapshot.Send writes it
//	Sums             JSON: size and SHA-256 of each shard
//
// Nothing may follow. age notices when a piece is missing, zstd and the sums
// when one is wrong. What the header says is repeated in the manifest, and does
// not count if that says otherwise.
//
// # Whom it trusts
//
// The recipient's key is not on the node: who has the place of the backups, or
// the node, can remove backups but read none. He can also put there what he has
// made himself, since everybody may encrypt to a recipient: what is restored
// must come from a place that is trusted so far.
package backup
