package webapp

import (
	"context"
	"time"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/record"
)

// Stores are the databases that webapp works on. All methods return
// problem.Unavailable, or an error without a kind, when the database is away.
type Stores struct {
	Users        Users
	Identities   Identities
	Tokens       Tokens
	Sessions     Sessions
	Invites      Invites
	Messages     Messages
	Tickets      Tickets
	Certificates Certificates
}

// Users is the database of accounts.
type Users interface {
	// Create stores a new account; problem.Exist when the id is used.
	Create(ctx context.Context, u *record.User) error
	// ByID and ByLogin return an account, or problem.NotExist.
	ByID(ctx context.Context, id string) (*record.User, error)
	ByLogin(ctx context.Context, login string) (*record.User, error)
	// Update stores a changed account that was read before; problem.Stale when
	// it was changed since.
	Update(ctx context.Context, u *record.User) error
	Delete(ctx context.Context, id string) error
	// Search returns up to limit logins that begin with prefix, sorted.
	Search(ctx context.Context, prefix string, limit int) ([]string, error)
}

// Identities is the database of addresses. An address is claimed by creating
// its document.
type Identities interface {
	// Create claims an address; problem.Exist when it is claimed.
	Create(ctx context.Context, i *record.Identity) error
	// ByAddress returns an identity, or problem.NotExist.
	ByAddress(ctx context.Context, addr nick.Address) (*record.Identity, error)
	// ByWKD returns the identity whose local part has the hash of
	// nick.WKDHash, or problem.NotExist.
	ByWKD(ctx context.Context, hash string) (*record.Identity, error)
	ByUser(ctx context.Context, userID string) ([]*record.Identity, error)
	// Update and Delete change an identity that was read before; problem.Stale
	// when it was changed since.
	Update(ctx context.Context, i *record.Identity) error
	Delete(ctx context.Context, i *record.Identity) error
}

// Tokens is the database of bearer tokens, of which it keeps only hashes.
type Tokens interface {
	Create(ctx context.Context, token, userID string) error
	// User returns whose token it is, and counts as a use of it;
	// problem.Unauthenticated when it is unknown or was idle for an hour.
	User(ctx context.Context, token string) (userID string, err error)
	Delete(ctx context.Context, token string) error
	DeleteUser(ctx context.Context, userID string) error
}

// Sessions keeps login handshakes between their two requests.
type Sessions interface {
	Put(ctx context.Context, id string, data []byte, expires time.Time) error
	// Take returns the data and forgets it: of two callers one gets it. Else
	// problem.NotExist, also when it has expired.
	Take(ctx context.Context, id string) ([]byte, error)
}

// Invites is the database of invite codes.
type Invites interface {
	// Create stores a code for so many uses until it expires, if ever;
	// problem.Exist when there is one.
	Create(ctx context.Context, code string, maxUses int, expires time.Time) error
	// Use counts one use; problem.NotExist when the code is unknown or has
	// expired, problem.Limit when it is used up.
	Use(ctx context.Context, code string) error
}

// Messages is the database of notices to users.
type Messages interface {
	ForUser(ctx context.Context, userID string) ([]record.Message, error)
}

// Tickets is the database of questions to the support.
type Tickets interface {
	// Create stores a ticket; problem.Exist when the id is used.
	Create(ctx context.Context, t *record.Ticket) error
	// ByID returns a ticket, or problem.NotExist.
	ByID(ctx context.Context, id string) (*record.Ticket, error)
	// Update stores a changed ticket; problem.Stale when it was changed since
	// it was read.
	Update(ctx context.Context, t *record.Ticket) error
}

// Certificates is where the CA leaves certificates.
type Certificates interface {
	// Take removes one entry of a plan, or of any (""), from the pool of
	// anonymous certificates and returns it; problem.Unavailable when there is
	// none.
	Take(ctx context.Context, plan lease.Plan) (record.Certificate, error)
	// RequestSMTP has the CA sign and waits for it, until ctx is done.
	RequestSMTP(ctx context.Context, req record.CertRequest) (certPEM string, err error)
}
