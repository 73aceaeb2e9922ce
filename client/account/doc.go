// Package account is one user's account on one device: what the daemon holds.
// It brings the parts of the client together and answers the control API.
//
// An account has a home directory:
//
//	provider.json   the provider's documents and its pinned CA (client/session)
//	vault.json      the store's key, wrapped by the password (client/session)
//	vault.ring      the store's key, sealed under the account's key ring
//	store.db        documents, mail, keys, outbox (client/soledad), encrypted
//	device.json     ports of the mail proxies: they stay the same for life
//
// An account is in one of the states of package control. Login unlocks it: the
// password opens the vault, the vault opens the store, and the mail proxies
// listen, with or without a network. Beside them a loop keeps the account
// connected: it logs in, makes what is missing (key ring, own key, published
// key), exchanges changes, and waits for the provider to announce more. What
// it makes it makes idempotently, so that a device that died half way through
// sign-up is finished by its next login.
//
// The password changes on all devices at once, but each has a vault of its own.
// When a vault does not open, the provider is asked: who can log in there can
// open the key ring, and the key ring opens vault.ring.
//
// The password is derived once and then forgotten; what stays in memory while
// the account is unlocked is the derived secret, the key ring and the store's
// key.
package account
