// Package mx takes mail for the provider's users from the internet and puts it
// into their incoming queues, sealed so that only their devices can read it.
//
// # What it does
//
// A connection passes a gate (limits of each network, a greeting that those
// who talk first do not get, deadlines), may turn to TLS, names a sender and
// recipients, and sends one message, by DATA or BDAT. Then, in this order:
//
//  1. The octets are checked while they come in (services/protocol/smtpline)
//     and held in memory, or sealed in a nameless file (package spool).
//  2. The header must be one that all programs read alike, with one author.
//  3. Package sender judges who sent it. A domain that wants forgeries refused
//     gets that; every other judgement is recorded, for the user's device.
//  4. Fields that only a provider may write are removed, Return-Path, Received
//     and Authentication-Results are added.
//  5. For each recipient the message is sealed to the recipient's OpenPGP key
//     and signed with this node's (services/protocol/envelope), and appended
//     to the queue in the recipient's own database.
//  6. 250, after every append was acknowledged; 451 if any was not.
//
// # What it never does
//
// It never stores or logs clear text, and never stores a message that it could
// not seal: a recipient without a key, or with an expired one, gets 451 4.7.5.
// It never sends a bounce: what it does not take, it refuses while the sender
// is still there. It has no queue of its own.
//
// # Once
//
// A sender that got no 250 sends again, to all recipients, also to those whose
// copy was already appended. The second append must change nothing: the id of
// a queue entry is computed from what a retry keeps (envelope sender, Date,
// Message-ID and From fields, digest of the body), the recipient, and a secret
// of the provider, so that it says nothing to who reads the database
// ([entryID]). All mail servers of a provider share the secret. A message
// without Message-ID gets a random id, since two of them may be alike: better
// twice than lost.
//
// # What others see
//
// The database sees the recipient's user id, the padded size, and the hour.
// The log sees that a message came, its size in powers of two, the number of
// recipients, and the verdict. A peer sees whether an address takes mail, until
// it has named a few that do not exist; addresses that are blocked or disabled
// look like those.
//
// # Trust
//
// Who connects is not trusted at all. The resolver of Config is believed. The
// database is believed about keys: who can write identities can read mail.
// Networks in Config.Trusted are exempt from the limits of the gate and from
// nothing else: the provider's own relay delivers through the same port.
package mx
