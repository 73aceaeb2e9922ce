// Package oneshot is the privileged half of updates: where the prefix belongs to
// root, a unit of systemd runs "leapc update-unit" as root, which looks, installs
// and ends. It is apart from the VPN's helper, which keeps the one capability that
// it has.
//
//	leap-update.timer     starts it now and then
//	leap-update.socket    starts it when a user asks
//	leap-update.service   one look, and what comes of it
//
// # The socket
//
// Connecting is all that a user can say: nothing is read from the connection, so
// there is nothing to get wrong. What the unit trusts, where it looks and what it
// installs is decided by files that only root can write, and by when a computer's
// turn is; asking again and again makes it start again and again, and look once a
// minute. So every user of the computer may ask. He is told in lines of JSON what is
// done ([Line]) until it is over, and at the end whether something is wrong.
//
// The unit has no capabilities: it writes files of its own user, root, in the
// prefix alone, and tells systemd to restart the VPN's helper, at last.
package oneshot
