// Package tufrepo keeps a repository of The Update Framework (TUF 1.0.31): it
// makes the metadata, gathers their signatures, and writes the tree of files
// that clients and mirrors fetch.
//
// Who signs is never at one place. What shall change is therefore a signing
// event: a directory that holds the new metadata, what they replace, and the
// files they vouch for. It travels to the signers, by whatever means, and small
// signature files travel back; no signer needs a network. An event is signed and
// published in these steps:
//
//	Init, Change, Renew, Rotate   propose: an event, nothing is public
//	ReadEvent                     refuse an event that does not say what it is
//	Event.Changes                 what a signer is shown
//	Event.Sign                    a signature over the very bytes shown
//	Event.Tally                   who has signed, who is missing
//	Repo.Publish                  verify everything, then make it public
//
// What is shown is what is signed: ReadEvent reads each metadata file once,
// re-encodes what it understood as canonical JSON, and compares the digest with
// the one that the event names. The bytes that are signed are that encoding, the
// differences are computed from the same value, and the digest is theirs. A file
// that is exchanged in between changes nothing: it is not read again.
//
// Snapshot and timestamp are signed when publishing, with the online key; no
// other role may share a key with them (Policy.Check).
//
// A repository is a directory:
//
//	leap-sign.json     name, names of keys, days that each role is good
//	public/metadata/   N.root.json, N.targets.json, N.ROLE.json, N.snapshot.json, timestamp.json
//	public/targets/    DIR/SHA256.NAME
//	events/NAME/       events that are not published
//	done/NAME/         events that are, without the files they vouched for
//
// Publishing writes every file beside its place, syncs it, renames it and syncs
// the directory, in the order targets, delegated roles, targets role, snapshot,
// root, timestamp: a crash leaves what was before or what is after. Only after a
// root with other keys, and before the timestamp, what was before may no longer
// count and what comes is not there: clients then keep what they have, and wait. A
// publication that was interrupted is repeated as it was. One process at a time
// changes a repository (a lock on the file "lock").
//
// # Directors, mirrors, bundles
//
// A director (Policy.Director, Repo.Direct) lists targets of another repository and
// has no bytes of its own. A Mirror is a copy of a repository of others: it is a client
// that keeps what it has verified, in the order above, and keeps what was listed before
// until the next time. A bundle (WriteBundle, ReadBundle) is such copies as one tar, and
// Serve serves them.
//
// This package trusts the signers' keys and nothing else. It never reads a clock:
// callers pass the time. It never writes a private key except encrypted with age.
package tufrepo
