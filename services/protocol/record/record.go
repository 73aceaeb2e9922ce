// Package record holds the documents of a provider's databases as Go types:
// what services/couch stores and what the roles that share a database agree
// on. One type is one kind of document; its comment names the database and
// who may open it (leap-protocols.md 5.1-5.2). The JSON members are LEAP's
// where LEAP has the document.
//
// A record is data only. It never holds a password, a private key of a user,
// or a message in clear: what a provider must not know has no field here.
package record

import (
	"time"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/srp"
)

// A User is an account: database users, opened by webapp and tapicero.
type User struct {
	ID                   string    `json:"_id"` // 32 hex digits, public.
	Rev                  string    `json:"_rev,omitempty"`
	Type                 string    `json:"type"` // "User".
	Login                string    `json:"login"`
	Suite                srp.Suite `json:"suite"`         // Of the verifier.
	KDF                  *srp.KDF  `json:"kdf,omitempty"` // Of suite srp-3072.
	PasswordSalt         string    `json:"password_salt"` // Hex.
	PasswordVerifier     string    `json:"password_verifier"`
	RecoveryCodeSalt     string    `json:"recovery_code_salt,omitempty"`
	RecoveryCodeVerifier string    `json:"recovery_code_verifier,omitempty"`
	ContactEmail         string    `json:"contact_email,omitempty"`
	InviteCode           string    `json:"invite_code,omitempty"`
	Enabled              bool      `json:"enabled"`
	ServiceLevel         string    `json:"effective_service_level_code"`
	CreatedAt            time.Time `json:"created_at"`
	UpdatedAt            time.Time `json:"updated_at"`
}

// A Key is one public key of an identity, with the revision of the key ring
// API (leap-protocols.md 1.8).
type Key struct {
	Type  string `json:"type"` // "openpgp".
	Value string `json:"value"`
	Rev   string `json:"rev"` // URL-safe base64 of 8 random bytes.
}

// An Identity is an address of a user: database identities, opened by webapp,
// nickserver, leap_mx and relay. Its _id is the address with ":" for "@", so
// that an address is claimed by creating the document.
type Identity struct {
	ID               string            `json:"_id"`
	Rev              string            `json:"_rev,omitempty"`
	Type             string            `json:"type"`              // "Identity".
	UserID           string            `json:"user_id,omitempty"` // Empty: the name is blocked.
	Address          string            `json:"address"`
	Destination      string            `json:"destination"`
	Keys             map[string]Key    `json:"keys,omitempty"`
	Fingerprint      string            `json:"fingerprint,omitempty"` // Of keys["openpgp"], lower-case hex.
	WKD              string            `json:"wkd"`                   // nick.WKDHash of the local part.
	CertFingerprints map[string]string `json:"cert_fingerprints,omitempty"`
	Enabled          bool              `json:"enabled"`
	CreatedAt        time.Time         `json:"created_at"`
}

// An InviteCode admits MaxUses sign-ups: database invite_codes, opened by webapp.
type InviteCode struct {
	ID        string    `json:"_id"` // The code, "xxxx-xxxx".
	Rev       string    `json:"_rev,omitempty"`
	Type      string    `json:"type"` // "InviteCode".
	Code      string    `json:"invite_code"`
	Count     int       `json:"invite_count"`
	MaxUses   int       `json:"max_uses"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // None: it stays good.
}

// A Message is a notice of the provider to users: database messages, opened
// by webapp. An empty UserIDs means everybody.
type Message struct {
	ID      string   `json:"_id"`
	Rev     string   `json:"_rev,omitempty"`
	Type    string   `json:"type"` // "Message".
	Locale  string   `json:"locale"`
	Text    string   `json:"text"`
	UserIDs []string `json:"user_ids_to_show,omitempty"`
}

// A Ticket is a question to the provider's support: database tickets, opened
// by webapp. Its _id is the code by which an anonymous author comes back.
type Ticket struct {
	ID        string    `json:"_id"`
	Rev       string    `json:"_rev,omitempty"`
	Type      string    `json:"type"` // "Ticket".
	CreatedBy string    `json:"created_by,omitempty"`
	Subject   string    `json:"subject"`
	Email     string    `json:"email,omitempty"`
	Open      bool      `json:"is_open"`
	Comments  []Comment `json:"comments"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// A Comment is one entry of a Ticket.
type Comment struct {
	PostedBy string    `json:"posted_by,omitempty"`
	PostedAt time.Time `json:"posted_at"`
	Body     string    `json:"body"`
	Private  bool      `json:"private,omitempty"`
}

// A Certificate is one entry of the pool of anonymous client certificates:
// database client_certificates, filled by ca, emptied by webapp
// (leap-protocols.md 3.3).
type Certificate struct {
	ID         string     `json:"_id"`
	Rev        string     `json:"_rev,omitempty"`
	Type       string     `json:"type"` // "Certificate".
	Plan       lease.Plan `json:"plan,omitempty"`
	Key        string     `json:"key"`  // PEM.
	Cert       string     `json:"cert"` // PEM.
	ValidUntil time.Time  `json:"valid_until"`
}

// A CertRequest asks the CA for a certificate bound to an address: database
// client_certificates, put by webapp, answered by ca. The private key stays
// with webapp.
type CertRequest struct {
	ID        string    `json:"_id"`
	Rev       string    `json:"_rev,omitempty"`
	Type      string    `json:"type"` // "CertRequest".
	Address   string    `json:"address"`
	PublicKey string    `json:"public_key"` // PKIX PEM.
	Cert      string    `json:"cert,omitempty"`
	Error     string    `json:"error,omitempty"` // Why the CA refused.
	CreatedAt time.Time `json:"created_at"`
}

// Incoming is one sealed message in a user's incoming queue: database
// user-<id>, put by mx, read and removed by the user's devices through
// soledad (mail.md 6). The body is an attachment of the document.
type Incoming struct {
	ID       string    // Time-ordered, unguessable.
	Rev      string    // Set on reading.
	Received time.Time // Rounded to the hour: the exact time is sealed.
	Size     int64     // Of the padded envelope, bytes.
	Body     []byte    // services/protocol/envelope.
}

// An OutboundMessage is the content of a message on its way out: database
// outbound, opened by relay alone. Body is sealed with the relay's queue key.
type OutboundMessage struct {
	ID        string
	Sealed    []byte
	CreatedAt time.Time
}

// An OutboundRow is the state of one message for one recipient domain.
type OutboundRow struct {
	ID          string    `json:"_id"`
	Rev         string    `json:"_rev,omitempty"`
	Type        string    `json:"type"` // "OutboundRow".
	Message     string    `json:"message"`
	Sealed      string    `json:"sealed"` // Base64: sender, recipients and domain, sealed with the queue key.
	NextAttempt time.Time `json:"next_attempt"`
	LeaseOwner  string    `json:"lease_owner,omitempty"`
	LeaseUntil  time.Time `json:"lease_until,omitzero"`
	Attempts    int       `json:"attempts"`
	LastResult  string    `json:"last_result,omitempty"` // SMTP code and enhanced code only.
	CreatedAt   time.Time `json:"created_at"`
}

// A Blob describes one blob of a user (leap-protocols.md 7.10).
type Blob struct {
	ID      string    `json:"id"`
	Size    int64     `json:"size"`
	Flags   []string  `json:"flags,omitempty"`
	Created time.Time `json:"created"`
	Deleted bool      `json:"deleted,omitempty"`
}

// A Customer says what a user pays for: database customers, opened by webapp.
// Its _id is the user's id: one user is one customer.
type Customer struct {
	ID        string    `json:"_id"`
	Rev       string    `json:"_rev,omitempty"`
	Type      string    `json:"type"`                // "Customer".
	Reference string    `json:"reference,omitempty"` // Of the payment service. No name, no card.
	Level     string    `json:"service_level_code"`
	PaidUntil time.Time `json:"paid_until,omitzero"`
	CreatedAt time.Time `json:"created_at"`
}

// A CachedKey is the answer of somebody else about an address in another
// domain: database keycache, opened by nickserver. Its _id is a hash of the
// address: whoever copies the database does not get a list of addresses.
type CachedKey struct {
	ID      string    `json:"_id"`
	Rev     string    `json:"_rev,omitempty"`
	Type    string    `json:"type"`              // "CachedKey".
	OpenPGP string    `json:"openpgp,omitempty"` // Armored; empty: there is none.
	Expires time.Time `json:"expires"`
}
