// Package smtpd is the local SMTP server: it takes messages from the mail
// programs of this device, protects them, and hands them to the provider's
// relay.
//
// # Who may use it
//
// Programs of this machine that know the app password (client/mailstore/door),
// on loopback. MAIL FROM and the field From must be the account's address or
// one of its aliases.
//
// # What happens to a message
//
//  1. It is cleaned (compose.go): what the mail program or the machine tells of
//     itself goes (User-Agent, Received, the time zone in Date, a Message-ID
//     that names the host), and so does Bcc.
//  2. A key is looked for, for each recipient. Recipients that the message
//     names make one group with a key and one without; each blind recipient is
//     a group of its own, so that no copy shows another (group.go).
//  3. A group with keys gets PGP/MIME (RFC 3156), signed and encrypted, with
//     protected header fields (RFC 9788, package hp): the Subject outside is
//     "[...]". A group without gets the message in clear, signed; or, under
//     EncryptedOnly, the whole message is refused. A look-up that fails, and a
//     key that has expired, refuse the message too: it is never sent in clear
//     because something went wrong.
//  4. A message that its program has encrypted goes to all recipients as it is.
//  5. The account's key goes along as an Autocrypt field, outside and inside;
//     inside encryption also the keys of the other named recipients, as
//     Autocrypt-Gossip.
//  6. One durable transaction stores the copies to send in the outbox and the
//     message, as the user wrote it, in Sent. Then the program gets its 250.
//
// # Outbox
//
// The outbox (outbox.go, deliver.go) is of this device. Run hands its messages
// to the Relay, again with growing pauses while it is away, for five days.
// What the relay refuses for good becomes a message to the user in INBOX. A
// message leaves the outbox in a transaction of its own after the relay has
// taken it: a crash in between sends it twice, as SMTP allows, and no crash
// loses it.
//
// # Limits
//
// Size, recipients, connections, the number of messages in work, and the time
// of every read are bounded. Bare CR, bare LF and NUL are refused (RFC 5321,
// 2.3.8). SMTPUTF8 is not offered. Addresses of recipients are in no log.
package smtpd
