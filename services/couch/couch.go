package couch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-kivik/kivik/v4"
	"github.com/go-kivik/kivik/v4/couchdb"
)

// DB is one account's view of the provider's databases. Its methods and those
// of its stores may be called from any goroutine.
type DB struct {
	client   *kivik.Client
	balancer *balancer
	external bool
	q, n     int // Of new databases; 0 is not said.
	now      func() time.Time
}

// Open returns a DB. It touches neither network nor disk, apart from CAFile;
// an unusable Config is its error. The caller closes the DB.
func Open(cfg Config, log *slog.Logger) (*DB, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	base, err := newTransport(cfg.CAFile, cfg.Resolver)
	if err != nil {
		return nil, err
	}
	b, err := newBalancer(cfg.URLs, base, log)
	if err != nil {
		return nil, err
	}
	hc := &http.Client{
		Transport:     &door{next: b, user: cfg.User, file: cfg.PasswordFile},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	client, err := kivik.New("couch", cfg.URLs[0], couchdb.OptionHTTPClient(hc), couchdb.OptionNoRequestCompression())
	if err != nil {
		return nil, err
	}
	return &DB{client: client, balancer: b, external: cfg.External, q: cfg.Q, n: cfg.N, now: time.Now}, nil
}

// Close ends what the DB does in the background and its idle connections.
func (d *DB) Close() error {
	d.balancer.close()
	return d.client.Close()
}

// Ping reports whether a node answers that it is up. It does not repeat.
func (d *DB) Ping(ctx context.Context) error {
	return failed("asking whether the database is up", "database", d.balancer.ping(ctx))
}

// randomHex returns n random bytes in hex.
func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // Never fails (crypto/rand).
	return hex.EncodeToString(b)
}

// old returns a database of which an old answer is better than none: mail goes
// on to an address whose key was not changed a moment ago.
func (d *DB) old(name, noun string) database {
	db := d.in(name, noun)
	db.stale = true
	return db
}

// in returns a database by its name.
func (d *DB) in(name, noun string) database {
	return database{db: d, kivik: d.client.DB(name), name: name, noun: noun}
}
