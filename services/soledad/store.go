package soledad

import (
	"context"

	"leap.example/services/protocol/record"
	"leap.example/services/protocol/u1db"
)

// Tokens is the database of session tokens.
type Tokens interface {
	// User returns the id of the user who has a token, or
	// problem.Unauthenticated.
	User(ctx context.Context, token string) (userID string, err error)
}

// Shared is the database of documents that any user may reach who knows the
// id. A deleted document stays, with a revision and without content.
type Shared interface {
	// Get returns a document, or problem.NotExist.
	Get(ctx context.Context, id string) (u1db.Document, error)
	// Put stores ID, Rev and Content of doc over the revision oldRev, "" if
	// there must be none; problem.Stale if another is stored.
	Put(ctx context.Context, doc u1db.Document, oldRev string) error
}

// Documents is the synchronised part of a user's database: documents and the
// log of their changes. Generations begin at 1 and rise with each change; each
// has a transaction id, also one that was skipped because its writer was not
// fast enough. Every method returns problem.NotExist when the
// database does not exist. All may be called from any goroutine, Wait by one
// at a time; other processes may write the same database.
type Documents interface {
	// Info returns the replica uid of the database and where it stands; 0 and
	// "" when it is empty.
	Info(ctx context.Context) (replica string, gen int, trans string, err error)
	// SyncState returns how far the replica source is known; 0 and "" if it is
	// not.
	SyncState(ctx context.Context, source string) (gen int, trans string, err error)
	// SetSyncState records how far source is known.
	SetSyncState(ctx context.Context, source string, gen int, trans string) error
	// Get returns a document, deleted ones with empty content, or
	// problem.NotExist.
	Get(ctx context.Context, docID string) (u1db.Document, error)
	// GetMany returns those of the documents that exist, in any order.
	GetMany(ctx context.Context, ids []string) ([]u1db.Document, error)
	// Changes returns, of each document that changed after the generation
	// since, the newest change, in ascending order, at most limit. After a
	// crash of a writer it may, rarely, return an older change as well, or one
	// of a document that is not there.
	Changes(ctx context.Context, since, limit int) ([]u1db.Change, error)
	// TransID returns the transaction id of a generation, or problem.NotExist.
	TransID(ctx context.Context, gen int) (string, error)
	// Append stores ID, Rev and Content of documents with distinct ids, gives
	// each the next generation and a fresh transaction id, and returns these in
	// the order of docs. prev[i] is the revision of docs[i] that the caller
	// judged against, "" if there was none. If another is stored now the answer
	// is problem.Stale; if a document is too large for the store, problem.Limit.
	// After an error any of the documents may have been stored, and the caller
	// judges again.
	Append(ctx context.Context, docs []u1db.Document, prev []string) ([]u1db.Change, error)
	// Wait returns nil when anything in the database, the incoming queue
	// included, has changed since this value was opened or Wait returned last;
	// it may also return nil without a change. It ends with ctx.
	Wait(ctx context.Context) error
}

// Queue is the incoming queue in a user's database: sealed messages, put there
// by mx.
type Queue interface {
	// Incoming returns the oldest entries of the queue, at most limit, without
	// their bodies.
	Incoming(ctx context.Context, limit int) ([]record.Incoming, error)
	// IncomingBody returns the octets of an entry, or problem.NotExist.
	IncomingBody(ctx context.Context, id string) ([]byte, error)
	// DeleteIncoming removes an entry; problem.NotExist if it is not there.
	DeleteIncoming(ctx context.Context, id string) error
}

// Blobs is the part of a user's database that holds blobs, by namespace and
// id. Blobs are immutable but for their flags.
type Blobs interface {
	// PutBlob stores a blob; problem.Exist if there is one. It may take the
	// place of a deleted one.
	PutBlob(ctx context.Context, ns, id string, body []byte) error
	// Blob returns a blob's octets; problem.NotExist also if it is deleted.
	Blob(ctx context.Context, ns, id string) ([]byte, error)
	// Blobs describes all blobs of a namespace, deleted ones too, in any order.
	Blobs(ctx context.Context, ns string) ([]record.Blob, error)
	// SetBlobFlags replaces the flags of a blob; problem.NotExist also if it is
	// deleted.
	SetBlobFlags(ctx context.Context, ns, id string, flags []string) error
	// DeleteBlob removes a blob and leaves a marker; problem.NotExist also if
	// it is deleted.
	DeleteBlob(ctx context.Context, ns, id string) error
	// BlobBytes returns the size of all blobs in all namespaces.
	BlobBytes(ctx context.Context) (int64, error)
}

// UserDB is the database of one user.
type UserDB interface {
	Documents
	Queue
	Blobs

	// Size returns how many bytes the database takes, in all; it is quick. It
	// may lag behind a little. NotExist when there is none.
	Size(ctx context.Context) (int64, error)
}

// Stores are the databases that a server works on.
type Stores struct {
	Tokens Tokens
	Shared Shared
	// Open returns a user's database, which may not exist. It does no I/O and
	// each call returns a value of its own.
	Open func(userID string) UserDB
	// Create creates a user's database, if it does not exist. It is called
	// only if the Config says so, and may be nil otherwise.
	Create func(ctx context.Context, userID string) error
}
