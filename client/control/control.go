// Package control is the local API between the daemon that holds a user's
// unlocked account and the user interfaces (command line, tray, web UI).
//
// It is JSON over HTTP on a unix socket of mode 0600. The daemon also asks the
// kernel who is at the other end (SO_PEERCRED) and answers nobody but the user
// that it runs as: a socket file whose permissions were loosened is no way in.
// A Client does the same: it says nothing to the daemon of another user, and believes
// nothing of it, also as root.
// Passwords travel only inside request bodies on that socket; they are in no
// reply, no log and no argument list. Errors are problem documents, so that
// errors.Is(err, problem.Unauthenticated) holds on both sides.
package control

import (
	"context"
	"time"
)

// Schema is the version of the JSON that the command line prints with --json
// and that this API answers. Members are added, never renamed.
const Schema = 1

// A Backend is what the daemon can do. Every method may be called from any
// goroutine; long ones end with ctx.
type Backend interface {
	// Status says how the account is. It never fails and never blocks on the network.
	Status(ctx context.Context) Status
	// AddProvider fetches and pins the documents of a provider.
	AddProvider(ctx context.Context, req ProviderRequest) (Provider, error)
	// SignUp makes an account, its keys and its store, and unlocks it.
	SignUp(ctx context.Context, req Credentials) error
	// Login opens an existing account on this device, or unlocks it.
	Login(ctx context.Context, req Credentials) error
	// Lock closes the account: store, proxies, token.
	Lock(ctx context.Context) error
	// ChangePassword replaces the password of the unlocked account.
	ChangePassword(ctx context.Context, req PasswordChange) error
	// DeleteAccount removes the account at the provider and the local store.
	DeleteAccount(ctx context.Context, req Credentials) error
	// Mail returns what a mail program must be set to.
	Mail(ctx context.Context) (MailSettings, error)
	// Keys lists the known keys, the account's own first.
	Keys(ctx context.Context) ([]Key, error)
	// FindKey looks an address up, at the provider when it is not known.
	FindKey(ctx context.Context, address string) (Key, error)
	// Sync exchanges changes with the provider now.
	Sync(ctx context.Context) (SyncResult, error)
}

// ProviderRequest names a provider: POST /v1/provider.
type ProviderRequest struct {
	Domain      string `json:"domain"`                // Optionally with a port.
	Fingerprint string `json:"fingerprint,omitempty"` // Of its CA, "SHA256: hex". Empty: the public CAs vouch for it.
	Resolver    string `json:"resolver,omitempty"`    // host:port of the DNS server to ask. Empty: the system's.
}

// Provider is what a user sees of a provider.
type Provider struct {
	Domain      string   `json:"domain"`
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Services    []string `json:"services"`
	Enrollment  string   `json:"enrollment_policy"` // open, invite or closed.
	Fingerprint string   `json:"ca_fingerprint"`
}

// Credentials are a user's name and password: POST /v1/signup, /v1/login, /v1/delete.
type Credentials struct {
	Login    string `json:"login,omitempty"` // Empty: the account of this device.
	Password string `json:"password"`
	Invite   string `json:"invite,omitempty"` // Sign-up only.
}

// PasswordChange is the body of POST /v1/password.
type PasswordChange struct {
	Old string `json:"old"`
	New string `json:"new"`
}

// States of an account.
const (
	StateNoProvider = "no-provider" // Nothing is set up: "leapc provider add".
	StateNoAccount  = "no-account"  // A provider, but no account: "leapc signup" or "leapc login".
	StateLocked     = "locked"      // An account whose store is closed: "leapc login".
	StateOnline     = "online"      // Unlocked, last sync succeeded.
	StateOffline    = "offline"     // Unlocked, the provider cannot be reached; mail is readable.
)

// Status is the answer of GET /v1/status.
type Status struct {
	Schema      int        `json:"schema"`
	State       string     `json:"state"`
	Provider    string     `json:"provider,omitempty"`
	Address     string     `json:"address,omitempty"`
	Fingerprint string     `json:"fingerprint,omitempty"` // Of the account's OpenPGP key.
	Device      string     `json:"device,omitempty"`      // Replica uid of this device's store.
	LastSync    *time.Time `json:"last_sync,omitempty"`
	Pending     int        `json:"pending"`           // Changes that the provider has not acknowledged.
	Outbox      int        `json:"outbox"`            // Mails not yet handed to the provider.
	Incoming    int        `json:"incoming"`          // Mails waiting at the provider, when last seen.
	Problem     string     `json:"problem,omitempty"` // What is wrong and what to do.
}

// A MailServer is one half of MailSettings.
type MailServer struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Security string `json:"security"` // "none": loopback only.
}

// MailSettings is the answer of GET /v1/mail.
type MailSettings struct {
	Schema   int        `json:"schema"`
	Address  string     `json:"address"`
	Username string     `json:"username"`
	Password string     `json:"password"` // For mail programs on this machine only; not the account's.
	IMAP     MailServer `json:"imap"`
	SMTP     MailServer `json:"smtp"`
}

// A Key is one OpenPGP key: GET /v1/keys, GET /v1/keys?address=.
type Key struct {
	Address     string `json:"address"`
	Fingerprint string `json:"fingerprint"`
	Level       string `json:"level"` // How it came to be trusted.
	Own         bool   `json:"own,omitempty"`
	Armored     string `json:"armored,omitempty"` // Only from FindKey.
}

// SyncResult is the answer of POST /v1/sync.
type SyncResult struct {
	Schema      int `json:"schema"`
	Sent        int `json:"sent"`
	Received    int `json:"received"`
	Mails       int `json:"mails"`       // Taken from the incoming queue.
	Quarantined int `json:"quarantined"` // Documents that did not open.
}
