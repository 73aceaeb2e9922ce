// Package session is a client's side of its provider: how it comes to trust
// it, how it logs in, what it asks the account API, and the vault file that
// holds the key of the local store.
//
// # Provider
//
// Bootstrap turns a domain into a Provider. The trust of everything later is
// one certificate, the provider's CA. With a fingerprint from the user, ca.crt
// is fetched without verification and compared, and the fingerprint stays
// pinned; without one, provider.json comes over the public CAs and names the
// fingerprint (leap-protocols.md 1.1). Nothing is stored before the comparison
// succeeded. After it the API is reached through that CA alone, never through
// the system's.
//
// Documents are cached in one file, asked for conditionally, and at most once
// a day unless the caller wants them fresh. Every DNS question of the client
// goes to the resolver that was configured, or to the system's. Redirects are
// not followed and proxies not used.
//
// # Session
//
// Login proves the password by SRP (services/protocol/srp) and keeps a token;
// a Session renews it with the derived secret when the provider forgot it,
// which it does after an idle hour. The suite leap-1024 is used only when the
// caller allows it, and never for an account that has used srp-3072.
//
// # Vault
//
// A Vault is a file that wraps one random key, the DEK, for a password: the
// DEK opens the local store. It also remembers whose account this is and the
// suite. While a password changes it holds two wraps, so that the file opens
// with whichever password the provider ended up with (client.md 2.4, 4.4).
//
// The provider is trusted to deliver, not with content: it never sees the
// password, the wrap key or the DEK. Whoever reads the vault file can guess at
// the password at the price of its key derivation.
package session
