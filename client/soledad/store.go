package soledad

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/ncruces/go-sqlite3/ext/fts5"
	_ "github.com/ncruces/go-sqlite3/vfs/adiantum" // The VFS "adiantum".

	"leap.example/services/protocol/u1db"
)

// ErrKey is returned by Open when the file does not open with the key: it is
// another key, or not a store.
var ErrKey = errors.New("the store does not open with this key")

// ErrSchema is returned by Open when a newer program wrote the file.
var ErrSchema = errors.New("the store is of a newer version")

// A Store is the local replica. Its methods may be called from any goroutine;
// Hook and Merge before all others.
type Store struct {
	readers *sql.DB // Of Views.
	writers *sql.DB // One connection, so that a View never takes the last one from an Update.

	writer chan struct{} // Holds a token while an Update runs.
	syncer chan struct{} // Holds a token while a Sync runs.

	hooks  map[string][]func(*Tx, Doc) error
	merges map[string]func(mine, theirs Doc) (Doc, error)

	mu   sync.Mutex // Guards what follows.
	uid  string
	subs map[chan struct{}]bool
}

// Open opens the store at path, and creates it if there is none, under the
// given key. Path is a file name, or a "file:" URI whose parameter vfs names
// another SQLite VFS than adiantum over the disk; such a VFS has to encrypt.
// The directory must exist. Errors: ErrKey, ErrSchema, or that of the disk.
func Open(ctx context.Context, path string, key [32]byte) (*Store, error) {
	if !strings.HasPrefix(path, "file:") {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("opening the store: %w", err)
		}
		u := url.URL{Scheme: "file", OmitHost: true, Path: "/" + strings.TrimPrefix(filepath.ToSlash(abs), "/"), RawQuery: "vfs=adiantum"}
		path = u.String()
	}
	// The key goes in by PRAGMA: as a parameter of the URI it would stay readable.
	setup := func(c *sqlite3.Conn) error { return prepare(c, key) }
	writers, err := driver.Open(path+"&_txlock=immediate", setup)
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	writers.SetMaxOpenConns(1)
	readers, err := driver.Open(path, setup)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store: %w", err), writers.Close())
	}
	readers.SetMaxOpenConns(maxReaders)
	readers.SetMaxIdleConns(maxReaders)
	s := &Store{
		readers: readers, writers: writers, writer: make(chan struct{}, 1), syncer: make(chan struct{}, 1),
		hooks: map[string][]func(*Tx, Doc) error{}, merges: map[string]func(Doc, Doc) (Doc, error){}, subs: map[chan struct{}]bool{},
	}
	if err := s.init(ctx); err != nil {
		if errors.Is(err, sqlite3.NOTADB) {
			err = ErrKey
		}
		return nil, errors.Join(fmt.Errorf("opening the store: %w", err), readers.Close(), writers.Close())
	}
	return s, nil
}

// maxReaders bounds the Views at one time; further ones wait. They and the
// writer have a page cache of cacheKiB each.
const (
	maxReaders = 4
	cacheKiB   = 8 << 10
)

// prepare sets up a fresh connection.
func prepare(c *sqlite3.Conn, key [32]byte) error {
	err := c.Exec("PRAGMA hexkey='" + hex.EncodeToString(key[:]) + "'")
	if err != nil {
		return err
	}
	if err := fts5.Register(c); err != nil {
		return err
	}
	empty, err := isEmpty(c)
	if err != nil {
		return err
	}
	if empty {
		// It changes the room on each page: before the first table only.
		if err := c.EnableChecksums("main"); err != nil {
			return err
		}
	}
	return c.Exec(fmt.Sprintf(`PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=memory;
		PRAGMA secure_delete=FAST; PRAGMA cache_size=-%d; PRAGMA foreign_keys=ON`, cacheKiB))
}

func isEmpty(c *sqlite3.Conn) (bool, error) {
	st, _, err := c.Prepare("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return false, err
	}
	n := 0
	if st.Step() {
		n = st.ColumnInt(0)
	}
	return n == 0, errors.Join(st.Err(), st.Close())
}

// schema is version 1 of the file. A change of it raises the version and adds
// a step to init; the files of old versions stay in testdata.
const schema = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE doc (
	id      TEXT PRIMARY KEY,   -- Local id.
	rev     TEXT NOT NULL,
	acked   TEXT NOT NULL,      -- Revision that the server is known to have; '' none.
	gen     INTEGER NOT NULL,   -- Of the newest entry in log; 0 if the log was begun anew since.
	deleted INTEGER NOT NULL,
	dev     TEXT NOT NULL,      -- Replica that wrote this version,
	wgen    INTEGER NOT NULL,   -- and its generation there.
	prev    BLOB NOT NULL,      -- SHA-256 sums of the bodies that this version replaces, for others to see.
	blob    BLOB NOT NULL,      -- SHA-256 of a body that is sent as a blob; else empty.
	was     BLOB NOT NULL,      -- The blob of the version acked, if this version has another; else empty.
	body    BLOB NOT NULL
) STRICT;
CREATE INDEX doc_unsynced ON doc (gen) WHERE acked <> rev;
CREATE INDEX doc_gen ON doc (gen);
CREATE INDEX doc_blob ON doc (blob) WHERE blob <> x'';
CREATE TABLE log (
	gen     INTEGER PRIMARY KEY,
	id      TEXT NOT NULL,
	rev     TEXT NOT NULL,
	deleted INTEGER NOT NULL,
	sum     BLOB NOT NULL,      -- SHA-256 of the body.
	own     INTEGER NOT NULL,   -- 0: received.
	trans   TEXT                -- NULL until the chain has reached it.
) STRICT;
CREATE TABLE conflict (
	id      TEXT NOT NULL,
	rev     TEXT NOT NULL,
	deleted INTEGER NOT NULL,
	body    BLOB NOT NULL,
	PRIMARY KEY (id, rev)
) STRICT;
CREATE TABLE quarantine (
	id      TEXT PRIMARY KEY,   -- The server's.
	rev     TEXT NOT NULL,
	content TEXT NOT NULL,
	reason  TEXT NOT NULL,      -- Empty: it is sound, but its blob is still to come.
	seen    INTEGER NOT NULL    -- Order of arrival.
) STRICT;
CREATE TABLE kv (bucket TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (bucket, key)) STRICT, WITHOUT ROWID;
CREATE TABLE garbage (sum BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
`

const schemaVersion = 1

// init creates the tables and reads the replica's uid.
func (s *Store) init(ctx context.Context) error {
	return s.Update(ctx, func(tx *Tx) error {
		version := 0
		if err := tx.row("PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		if version > schemaVersion {
			return ErrSchema
		}
		if version == 0 {
			uid, err := u1db.NewReplica(rand.Reader)
			if err != nil {
				return err
			}
			if _, err := tx.sql.ExecContext(tx.ctx, schema); err != nil {
				return err
			}
			if _, err := tx.sql.ExecContext(tx.ctx, fmt.Sprintf("PRAGMA user_version=%d", schemaVersion)); err != nil {
				return err
			}
			if err := tx.setMeta(metaReplica, uid); err != nil {
				return err
			}
		}
		uid := ""
		if err := tx.meta(metaReplica, &uid); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.uid = uid
		return nil
	})
}

// Close waits for a running Update and closes the file. Nothing is lost
// without it.
func (s *Store) Close() error {
	s.writer <- struct{}{}
	defer func() { <-s.writer }()
	if err := errors.Join(s.readers.Close(), s.writers.Close()); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

// Replica returns the uid of this replica. It changes only when a Sync finds
// that the store is an old copy.
func (s *Store) Replica() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uid
}
