// Package mailstore keeps the mailboxes of one account in the user's
// synchronised documents, in the form that IMAP wants: numbered messages with
// flags, in named mailboxes.
//
// # Documents (synchronised; client.md 4.7)
//
//   - "msg/<id>" is a message: its octets, its internal date, and what was
//     found out about its protection when it arrived. It never changes. Two
//     devices that take the same message from the incoming queue write it
//     under the same id; should they differ (one could verify the signature,
//     the other not), one version is chosen and gets a new UID, because a UID
//     stands for octets that never change.
//   - "flags/<id>" is one appearance of a message in a mailbox: the id of its
//     body, the mailbox, the flags, whether it was expunged. Merged by package
//     flags. Usually its id is that of the body.
//   - "mbox/<id>" is a mailbox: name and subscription. INBOX, Sent, Drafts,
//     Trash and Archive exist without one.
//
// A copy of a message in a second mailbox is a second flags document over the
// same body, as in the original LEAP (leap-protocols.md 8.1): copying a
// thousand messages costs a thousand small documents and no second body on
// the wire. A move changes the one document.
//
// Expunging marks the flags document. The documents themselves are removed by
// Collect a month later, when no other appearance has the body: until then a
// device that has moved the message elsewhere at the same time, and has not
// synchronised yet, still finds it. So the space of a deleted message is free
// after that time, on the device as well as at the provider.
//
// # Tables (of this device; in the same file and the same transactions)
//
// mail_uid gives the messages of a mailbox their UIDs: append-only, so that a
// UID is never used twice and never changes while the local file lives,
// whatever other devices do. Each mailbox has a UIDVALIDITY of its own,
// counted up from the time when the tables were made. Each change gets the
// next number of one counter, modseq, by which a mail program that is
// connected is told what changed. The other tables are derived from the
// documents by hooks, and mail_fts is an index of trigrams that narrows
// searches (gram.go).
//
// # What it promises
//
// A message disappears from a mailbox only if a mail program moved or
// expunged it by its UID, here or on another device. A mailbox that is
// deleted leaves its messages in the trash; messages that another device puts
// into it at the same time appear in INBOX.
package mailstore
