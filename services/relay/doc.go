// Package relay takes mail from the provider's own users and delivers it, to
// the provider's MX and to the rest of the world.
//
// # Submission
//
// Two listeners, implicit TLS (RFC 8314) and STARTTLS; nothing is done in
// clear. Who submits is known by a client certificate of the provider, whose
// fingerprint the identity remembers, without or with SASL EXTERNAL; or by
// SASL PLAIN with an address or user id and a session token. The envelope
// sender and the From and Sender fields must be addresses of that user.
//
// A message passes the strict lines of services/protocol/smtpline, loses the
// fields that tell where and with what it was written, gains Date and
// Message-ID if it has none, is signed with every DKIM key, and is stored. 250
// is said after the store has it durably.
//
// # Queue
//
// One document holds the message, one row for each recipient domain what is
// still to be done ([Outbound]). Both are sealed with the queue key
// (XChaCha20-Poly1305, the id as associated data; rows padded): the database
// sees sizes and times, no address and no text.
//
// A worker leases a row and, with the same write, sets its next attempt, then
// tries. What a server took is recorded before anything else is done: a crash
// can cause one more delivery, never a loss. Attempts come after 0, 7.5, 15, 30
// minutes, 1, 2, 4, 8 hours, and then every 16 hours, each off by up to a
// tenth, until the queue's life ends. A refusal for good, or that end, is
// reported to the sender by a notification (RFC 3464) through this same queue;
// lateness too, once. The null sender gets none.
//
// # Delivery
//
// Mail for the provider's own domains goes to its MX, by STARTTLS with the
// provider's CA if one is named. Mail for others goes to the smarthost, if
// there is one, or to the MX hosts of the domain (package route). TLS to those
// is opportunistic (RFC 7435): whatever certificate, and clear text if the
// handshake fails.
//
// # What it never does
//
// It never accepts mail from who is not a user, never tells others where a
// user is (no Received field names the client), and never logs an address, a
// network address or a word of a message at the level info or above.
//
// # Trust
//
// The client CA is believed about addresses as long as the identity remembers
// the fingerprint. Receiving servers are not trusted: what they say is bounded
// and quoted in ASCII. The resolver of Config is believed.
package relay
