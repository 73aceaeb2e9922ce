// Package tufclient is the only way in which a machine comes to trust anything
// new: a client of The Update Framework (TUF, specification 1.0.31, section 5).
//
//	Open    what was trusted last, or the root that the program was built with
//	Check   what the repositories say now: a View, all of it from one moment
//	View    Lookup one target, or the newest release that a machine can take: an
//	        Offer, with when its turn is by the plan
//	Fetch   a target's bytes into a slot, Save into a file; FetchFrom and SaveFrom
//	        by a delta from what is there, or packed, if that is less
//
// # Whom it trusts
//
// The root of each repository that it is given, and whom that root names. Not the
// sources: mirrors, neighbours and directories only carry files. A check asks all of
// them at once for the next root and the timestamp, and follows the newest that is
// valid, whoever has it; what one of them does wrong leads to the next. So one that
// stands still hides nothing that another one has, as long as that one answers: within
// 10 s of the first to answer, or its turn comes only when the others have failed. The
// worst that all of them together can do is to be slow, or to show nothing new until
// what was trusted last expires. Targets are fetched from them in order. With several
// repositories (TAP 4), a target counts only if each of them, by itself, lists it with
// the same length and the same hash.
//
// # Why the workflow is its own
//
// Metadata, canonical JSON and signatures are go-tuf's. Its updater is not used:
// it panics on metadata with parts missing or null, gives up at a key of a type
// that it does not know, believes a delegated role that another delegator vouched
// for, writes while it verifies and syncs nothing, and holds targets in memory.
// Here every role is verified each time it is used, against the delegator in
// force, at one time fixed when the check begins.
//
// # What is kept
//
// For each repository one file, NAME.trusted: a tar of the metadata, byte for
// byte as they were fetched, and of the time of the last check. It is replaced as
// a whole (a new file, fsync, rename, fsync of the directory), so a crash leaves
// what was trusted before or what is trusted after, never a mix, and a check that
// fails leaves it as it is. There is one exception, which the specification
// demands (5.3.8): a newer root is kept as soon as it is verified, even if what
// follows is not, so that no mirror can take it back. In the same write, if it
// replaces the keys of timestamp or snapshot, both are forgotten (5.3.11).
//
// A file that is damaged, as by a disk that fails, is an error, or, where nobody is
// there to mend it, told and begun again with all of it that can still be read
// (Config.Damaged). What cannot, no longer protects from what is older; the root that
// the program was built with, and the time at which it was built, do.
//
// The plan of releases is kept beside it, NAME.plan, in the same way. It counts if it
// has the hash that is listed, each time that it is read, or it is fetched anew.
//
// # Smaller files
//
// A delta or a packed file is unpacked while it comes, so before it is known to be
// the one that was vouched for: there is no room for it but the slot. What unpacks
// it, package delta, stands anything and costs no more than the full file; what
// comes out counts only if it is the target, and is thrown away else.
//
// # Time
//
// Expiry is judged by the latest of three times: the clock, when the program was
// built, and the last check. So a clock that was set back makes nothing valid
// again. A clock that is ahead makes everything look expired, and the error says
// so. Expired metadata stop updates and nothing else.
//
// # Names
//
// A source is asked for metadata/N.ROLE.json and targets/DIR/SHA256.NAME, without
// the number and the hash where the repository has no consistent snapshots. ROLE
// is percent-encoded in it, so a name is one file name whatever is in it: a URL
// has the percent sign encoded once more.
package tufclient
