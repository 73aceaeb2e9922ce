// Package webapp is the provider as its users' clients and browsers first meet
// it: the account API of LEAP, versions 1 and 2 ("bonafide",
// leap-protocols.md 1), the public documents, and a few pages for people.
//
// # Two listeners
//
// The API port has a certificate of the provider's own CA, which clients learn
// from provider.json; on it are accounts, logins, keys and certificates. The
// web port has a certificate of a public CA; on it are the pages, the tickets
// of the support, and what must be found without an account: provider.json,
// ca.crt, service files, and keys: /key/LOGIN, webfinger, the Web Key
// Directory, which clients look for on this port. Both speak TLS 1.2 or later
// only.
//
// # What it knows
//
// It never sees a password: sign-up brings a verifier, login is SRP
// (services/protocol/srp, client.md 6). It holds no CA key: anonymous
// certificates come out of a pool, those for submitting mail are signed by
// services/ca; the key pair of the latter is made here, given to the client
// and forgotten. It does not record who invited whom, nor who was given an
// anonymous certificate. Neither names nor addresses nor networks are logged.
//
// # Logins
//
// A login is two requests, bound by a cookie. Between them its state lies in
// the sessions store, under a hash of the cookie, for one minute, for one
// guess. An unknown login, a disabled one and a wrong password are answered in
// the same words after the same work: an unknown login has a salt and a
// verifier that are made of a secret of the provider, stable, and fit no
// password. What still tells logins apart: sign-up must say that a name is
// taken; a published key is public; and where legacy_clients is set, an
// account of the suite leap-1024 is answered in its suite. Clients should use
// the standard key derivation (srp.DefaultKDF): an account with another one
// differs from an unknown login by it.
//
// The answer to a login is a bearer token. Changing the password or deleting
// the account revokes the tokens and withdraws the certificates for sending
// mail: clients ask for new ones.
//
// # Names
//
// The document of an identity is the claim to an address: of two sign-ups one
// creates it. It is made before the account and removed first when the account
// goes; a claim whose account does not exist after a minute is taken over.
// What a crash leaves half done is finished by the next one who needs it.
//
// # Who may do what
//
// A request without a token is anonymous; a token that is not good is refused
// everywhere, also where none is needed. A user may do what concerns the user.
// Administrators are logins named in the configuration. The monitor's static
// token is accepted from configured networks only and reaches nothing but
// accounts whose names begin with test_user or tmp_user.
//
// # Gateways of the VPN
//
// The list of gateways says which of them are healthy and how busy they are:
// webapp asks each one every half minute at its public address (watch.go). The
// caller's wish, time zone or place, brings it into order; where the caller's
// address is, nobody asks. Private gateways are listed for those who show one of
// their invite tokens, and stand in no other document. Clients of OpenVPN find no
// gateway in version 1 of eip-service.json, and are told so where they ask by
// POST (noOpenVPN).
//
// # Limits
//
// Bodies have at most bonafide.MaxBody bytes and 20 seconds to arrive; answers
// take at most 30 seconds to make. Logins, sign-ups, certificates, tickets and
// lookups are limited in rate by account and by network (/24, /48), in memory,
// in a bounded number of buckets (Config.Limits).
//
// # Differences from the original
//
// Classic bodies are kept to the letter where clients read them (classic.go,
// bonafide.ErrorOf). Changed on purpose: 422 for POST sessions without A; 429
// beyond a rate; 413 and 408 for bodies; a public key must be one that can be
// encrypted to and must name the user's address; a new login name needs a new
// verifier, which is computed over it; values of the key ring are strings.
package webapp
