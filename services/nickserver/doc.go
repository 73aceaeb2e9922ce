// Package nickserver answers one question: which OpenPGP key belongs to this
// address? It answers it in the three ways that are asked: LEAP's own, the Web
// Key Directory, and HKP.
//
// # What is served
//
// The lookup listener (port 6425, host nicknym.DOMAIN) serves
//
//	GET, POST /?address=… or ?fingerprint=…    leap-protocols.md 4
//	GET /pks/lookup?op=get|index|vindex&…      HKP v1, read only (draft-ietf-openpgp-hkp)
//	GET /.well-known/openpgpkey/…              Web Key Directory, both methods
//
// and the directory listener (port 443, host openpgpkey.DOMAIN, with a
// certificate that strangers trust) serves the Web Key Directory
// (draft-koch-openpgp-webkey-service, 3.1): what GnuPG and other mail programs
// ask, without knowing that the provider is a LEAP provider. The directory is
// answered only under the domain's own host names.
//
// Keys are written by the API of accounts, never here: there is no upload.
//
// # What is told
//
// An address has a key if its identity is enabled, belongs to a user, and has
// an OpenPGP key; everything else is "not found", without a difference between
// a blocked name, a disabled user, one without a key, and nobody. A suffix
// ("+shop") is ignored in the lookup. There is no search by part of a name:
// whoever wants a list of the users has to guess it, against a rate limit per
// client network. A short key id (8 digits) finds nothing, because anybody can
// make a key that has it.
//
// Addresses of other domains are asked of a [Foreign], if there is one, and
// are not found otherwise.
//
// # Trust
//
// The answer is as trustworthy as the TLS certificate it comes with: it is the
// provider's word. What a client makes of it is nick.CanReplace's business.
// The server reads one database, identities, and writes nothing. Queries,
// addresses and client addresses are not logged: they are the social graph.
package nickserver
