package couch

import (
	"context"
	"net/http"
	"time"

	"github.com/go-kivik/kivik/v4"
	"github.com/go-kivik/kivik/v4/couchdb"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/u1db"
)

// Grace is how long a claimed generation may wait for its document.
const Grace = grace

// SetNow gives db another clock.
func SetNow(db *DB, now func() time.Time) { db.now = now }

// OpenTransport returns a DB over rt.
func OpenTransport(rt http.RoundTripper) *DB {
	hc := &http.Client{Transport: &door{next: rt, password: "p"}}
	client, err := kivik.New("couch", "http://database", couchdb.OptionHTTPClient(hc), couchdb.OptionNoRequestCompression())
	if err != nil {
		panic(err)
	}
	return &DB{client: client, now: time.Now}
}

// Databases returns the names of all databases.
func Databases(ctx context.Context, db *DB) ([]string, error) { return db.databases(ctx) }

// Drop deletes a database.
func Drop(ctx context.Context, db *DB, name string) error { return db.drop(ctx, name) }

// Count returns the number of documents of a database, -1 on an error.
func Count(ctx context.Context, db *DB, name string) int {
	ids, err := db.in(name, name).ids(ctx)
	if err != nil {
		return -1
	}
	return len(ids)
}

// QuickProbes makes the balancer of db look every few milliseconds.
func QuickProbes(db *DB) {
	db.balancer.times = times{check: time.Millisecond, first: time.Millisecond, last: 10 * time.Millisecond, spread: 10 * time.Millisecond, hedge: time.Minute}
}

// QuickHedges makes the balancer of db hedge a read after d, and look for nothing.
func QuickHedges(db *DB, d time.Duration) {
	db.balancer.times = times{check: time.Hour, first: time.Millisecond, last: 10 * time.Millisecond, spread: time.Hour, hedge: d}
}

// MaxCredit is how many reads may be hedged at once.
const MaxCredit = maxCredit

// A Writer is an Append that stops where a crash may stop it.
type Writer struct {
	u      *UserDB
	docs   []u1db.Document
	old    []userDoc
	claims []genDoc
}

// Begin claims generations for docs from top+1 on, and does not write them.
func Begin(ctx context.Context, u *UserDB, top int, docs []u1db.Document) (*Writer, error) {
	ids := make([]string, len(docs))
	for i, d := range docs {
		ids[i] = d.ID
	}
	old, err := u.stored(ctx, ids)
	if err != nil {
		return nil, err
	}
	claims, err := u.claim(ctx, top, ids)
	return &Writer{u, docs, old, claims}, err
}

// Write writes the first n documents, and leaves no hint.
func (w *Writer) Write(ctx context.Context, n int) error {
	return w.u.write(ctx, w.docs[:n], w.old[:n], w.claims[:n])
}

// Names of databases and ids.
var (
	Rotation   = rotation
	InRotation = inRotation
	DocID      = docID
	U1DBID     = u1dbID
	SafeID     = safeID
)

// AddressID returns the id of an address.
func AddressID(a string) (string, bool) { return addressID(nick.Address(a)) }

// Feed reads one page of the feed of the accounts.
func Feed(ctx context.Context, db *DB, since string) (seqs []string, next string, err error) {
	rows, next, err := db.Users().db.changes(ctx, since)
	for _, r := range rows {
		seqs = append(seqs, r.seq)
	}
	return seqs, next, err
}
