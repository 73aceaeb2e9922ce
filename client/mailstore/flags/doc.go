// Package flags is the replicated state of one message: the mailbox it is in,
// its IMAP flags, and whether it still is. It is what the "flags" documents of
// the store contain (client.md 4.7). The package is pure: it knows no store,
// no clock and no IMAP connection.
//
// # Merge
//
// Every device changes its own copy and copies are merged pairwise, in any
// order and any number of times, with the same result: Merge is commutative,
// associative and idempotent. It is an observed-remove set without tombstones.
// Each change of a device gets a dot (a Lamport number of that device); the
// clock of a State says which dots it has seen. A dot that one copy holds and
// the other has seen but does not hold was removed there, and stays removed;
// a dot that the other has not seen is new, and stays.
//
//   - A flag is set while it holds a dot. Adding wins over a concurrent
//     removal.
//   - The mailbox is a register: the change with the higher Lamport number
//     wins, the device's name breaks ties.
//   - The message is there while it holds a presence dot. Making it gives one,
//     and so does every Move. Expunge removes the dots that the device has
//     seen. So an expunge beats concurrent changes of flags, which give no
//     presence dot, and it beats a concurrent Discard (a move into the
//     trash); it does not beat a concurrent Move, out of the trash or
//     anywhere else. Nothing is lost that no user named.
//   - Expunge consumes the \Deleted mark with the message. Were it left, a
//     message that survives by a concurrent Move would come back marked for
//     deletion.
//
// An expunged State is kept, until the body is collected, so that the Move of
// a device which was away still finds it.
//
// # Encoding
//
// Version 1 is JSON with sorted members and sorted dots: equal states have
// equal bytes, so that two devices that merge the same versions write the same
// document. Decode refuses what Encode cannot have written: another version,
// dots from the future of the clock, more than the limits.
package flags
