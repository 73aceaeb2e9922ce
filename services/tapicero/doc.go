// Package tapicero creates, guards and destroys the databases of users: each
// user has one, "user-<id>", that exists exactly as long as the user does
// (leap-protocols.md 5.4).
//
// # How
//
// It follows the changes of the users database. What is done about a change
// is not decided by the change but by the present state: while the user
// exists, the database is created and secured; once the user is gone and the
// change said so too, the database is destroyed. Each step may be repeated at
// will, so a change that is delivered twice, late or out of order does no
// harm, and neither does a crash at any point.
//
// A change that cannot be carried out is tried again, after one second at
// first and one minute at most, until it succeeds; the changes behind it do
// not wait for it. The sequence of the feed is stored only while nothing is
// left undone, so that a new process starts before everything that this one
// did not finish.
//
// At the start, at intervals and on demand all databases are compared with
// all users (CheckAll): missing databases are created, present ones secured
// again.
//
// # What it never does lightly
//
// Destroying a database destroys mail that nobody else can restore. So:
//
//   - a user's database is destroyed only when the feed says that the user was
//     deleted and the users database, asked again, agrees;
//   - a database that has no user although no deletion was seen (restored from
//     a backup, left by a lost sequence) is destroyed only after it was seen
//     without a user for the whole of a grace period, and only if the list of
//     users was read to its end;
//   - if there is no user at all, or most databases have none, the list of
//     users is what is wrong: nothing is destroyed but what the feed reported,
//     and Check says so.
//
// # Trust
//
// It works under the database's administrator account, because only that may
// create databases; it listens on no port and takes no orders. It sees user
// ids and nothing else: neither names nor what the databases hold.
//
// # Limits
//
// Databases are worked on one at a time. The notes that it keeps about
// databases without a user are bounded (maxOrphans); what is above the bound
// waits for the next check.
package tapicero
