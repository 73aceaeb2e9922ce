// Package srp is the login of LEAP: SRP-6a (RFC 2945, RFC 5054), by which a
// client proves that it knows the password while the provider keeps only a
// verifier and never sees the password, at sign-up or later.
//
// One implementation serves two suites (client.md 6, leap-protocols.md 2):
//
//	            srp-3072                             leap-1024
//	group       RFC 5054, 3072 bit, g = 5            RFC 5054, 1024 bit, g = 2
//	hash        SHA-256                              SHA-256
//	hashed as   PAD to 384 bytes                     shortest big-endian form
//	MK          Argon2id(password, salt)             -
//	x           HKDF(MK, "leap/srp-x/v1|" login)     H(salt | H(login ":" password))
//	I           login "@" host                       login
//	on the wire hex of 384 bytes, lower case         hex, any length
//
//	k = H(N | g)     v = g^x     A = g^a     B = kv + g^b     u = H(A | B)
//	S = (B - kg^x)^(a + ux) = (Av^u)^b     K = H(S)
//	M1 = H((H(N) xor H(g)) | H(I) | salt | A | B | K)     M2 = H(A | M1 | K)
//
// In srp-3072 the identity I holds the provider's domain, so that a proof
// made for one provider is worth nothing at another. In leap-1024 a salt is a
// number: its leading zero bytes are not hashed.
//
// What is trusted: nothing that the peer sends. A and B that vanish modulo N
// and u = 0 end the handshake; a client refuses key derivation parameters
// that are too weak; proofs are compared in constant time. Arithmetic is
// math/big, which is not constant time: a and b are fresh for each handshake
// and x is not the password, so the risk is small but not nil.
//
// A stolen verifier can be guessed at: at Argon2id's price in srp-3072, at
// the price of two SHA-256 in leap-1024.
package srp
