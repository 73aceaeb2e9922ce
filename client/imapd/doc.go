// Package imapd is the local IMAP server: it shows the account's mailboxes
// (client/mailstore) to the mail programs of this device, over loopback.
//
// # Who may use it
//
// Programs of this machine that know the app password (client/mailstore/door).
// There is no TLS: the bytes never leave the machine.
//
// # What is served
//
// IMAP4rev1 and IMAP4rev2 (RFC 3501, RFC 9051) with NAMESPACE, UIDPLUS,
// ESEARCH, SEARCHRES, LIST-EXTENDED, LIST-STATUS, MOVE, STATUS=SIZE,
// SPECIAL-USE, CHILDREN, IDLE, UNSELECT, ENABLE, LITERAL-, APPENDLIMIT, by the
// server of github.com/emersion/go-imap/v2. CONDSTORE and QRESYNC are not:
// that server cannot be extended; the store already counts changes for them.
//
//   - Octets are served as they are stored: BODY[] and every section of it are
//     slices of the message.
//   - Flags have the case of their definition, \Seen: mbsync takes \seen for
//     an unknown flag and loses it.
//   - A session has a view, the numbered list that its program has been told.
//     It changes only where IMAP lets it: the program is told of new, changed
//     and vanished messages after a command, or at once during IDLE, whether
//     another program, another device or new mail is the cause.
//   - EXPUNGE and CLOSE remove what is marked \Deleted and what the program of
//     this session has seen so marked. What another one has marked in between
//     stays: nothing is removed that this program did not name.
//   - A mailbox opened by EXAMINE is not changed. CLOSE on it expunges nothing,
//     and nor does EXPUNGE, silently, since the server cannot tell them apart.
//   - \Recent does not exist.
//
// # Limits
//
// Connections, the length of commands, the size of messages, and the memory
// that messages in flight take together are bounded; every read and write has
// a deadline. A wrong password is refused late.
package imapd
