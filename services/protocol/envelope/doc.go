// Package envelope holds the sealed forms of this module: what a provider
// stores and cannot read. It has two halves that share nothing but the rule
// that every form has one encoding and is padded.
//
// # Incoming mail (mail.go, mime.go; mail.md 6)
//
// The MX seals each message for one recipient: an OpenPGP message in binary,
// SEIPDv2 with AES-256-GCM if the recipient's key says that it can read it,
// else SEIPDv1. Inside, signed by the MX node's key, is one literal packet:
//
//	"LEM\1" | u32 BE length of the header | header, JSON | u32 BE length of the message | message, RFC 5322 | zeros
//
// of a length on the Padmé grid, at least 512 bytes. The signature lets a
// device refuse what a mere writer of the database put into its queue; the
// padding hides all but O(log log n) bits of the length. The header repeats
// the recipient, so that a message cannot be moved between users.
//
// # LD1 (ld1.go, blob.go, chain.go; client.md 4.2, 4.3, 4.5)
//
// The content of synchronised documents and blobs, sealed under the account's
// own keys, which the provider never has:
//
//	content = {"ld1":"<base64url without padding of blob>"}
//	blob    = "LD1\0" | suite u8 | epoch u32 BE | nonce 24 B | ciphertext | tag 16 B
//	K_doc   = HKDF-SHA256(K_epoch, info "leap/doc/v1|" + document id)
//	suite 1 = XChaCha20-Poly1305 under the nonce
//	suite 2 = AES-256-GCM; HKDF-SHA256(K_doc, salt nonce, info "leap/ld1/gcm") gives key (32) and nonce (12)
//	AD      = fields, each with its length as u32 BE before it: "leap/ld1" | suite | epoch u32 BE | user | database
//	          | "doc" | document id | revision, of a blob: | "blob" | namespace | blob id | "ImmutableRevision"
//	plain   = header | body | zeros, on the Padmé grid, at least 512 bytes
//	header  = flags u8 (1 deleted, 2 body is a blob) | u16 length, type | u16 length, local id | u16 length, writer's replica uid
//	          | writer's generation u64 | u8 count, SHA-256 of the body of each version replaced | u32 length of the body
//
// all integers big endian. A blob's plain is u64 length | body | zeros, cut
// into chunks of 1 MiB; chunk i is sealed under the nonce (first 19 bytes of
// the header's nonce | i u32 BE | 1 in the last chunk, else 0). Since every
// field of AD is known to the reader before it opens, nothing can be swapped
// between users, databases, ids or revisions.
//
// The chain functions turn a device's log of changes into a keyed hash chain
// whose points serve as transaction ids.
//
// # Limits
//
// This package seals and opens; it does not decide whose keys to trust, keeps
// no key, and reads no clock.
package envelope
