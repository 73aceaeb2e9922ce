// Package receiver empties the user's incoming queue at the provider into the
// encrypted store (mail.md 8; client.md 4.6).
//
// For each entry: fetch, verify that an MX of the provider signed it, decrypt,
// decrypt what the sender encrypted inside, verify the sender's signature, put
// the protected header fields (RFC 9788) in the place of those outside, and
// store the message in INBOX under the id of the queue entry. The entry is
// removed only after the provider has acknowledged the sealed copy in the
// synchronised store. Every step may be cut off and repeated: two devices that
// drain at once, or one that dies in between, end with one message. Nothing is
// kept beside the store: what was stored is known by its id.
//
// What does not open stays in the queue. The user is told by a message in
// INBOX, one for each reason and day, and it is tried again when the account's
// key has changed, and now and then.
//
// # What is added to a message
//
// Fields named X-Leap-… are ours alone. Those of the sender are removed, and
// two are added:
//
//	X-Leap-Encryption: decrypted       the sender encrypted it to the user
//	                   provider        it came in clear and was sealed at the door
//	                   could not decrypt
//	X-Leap-Signature:  valid; pubkey="…" | invalid | could not verify
//
// A message without a signature has no second field. The keywords $encrypted
// and $signed say the same to mail programs.
//
// # Whose signature
//
// A signature is valid only when it was made by the key that the client knows
// for the address in From, as the mail program will show it. If the From
// inside the encryption is another than the one outside, it is shown only if
// the signature is valid for it; else the one outside stays, and is what the
// signature is held to (RFC 9788, 4.4). Fields of the transport are never
// taken from inside.
//
// # Keys that come with messages
//
// A key in an Autocrypt field is offered to client/keymanager, at the lowest
// level, when the author's domain vouches for the message (DMARC as the MX
// found it); keys in Autocrypt-Gossip when the message was encrypted and its
// signature is valid. Addresses of the account's own domain are left out: the
// provider's key server answers for them. Keys are looked up only for messages
// that are encrypted or signed, so that not every sender is told to a server.
package receiver
