package mailstore

import (
	"database/sql"
	"errors"
	"time"

	"leap.example/client/soledad"
)

// schemaVersion is that of the tables below. mail_uid and the UID columns of
// mail_box are what mail programs have built on: a new version converts them
// and never makes them anew.
const schemaVersion = 1

const schema = `
CREATE TABLE mail_meta (
	key   TEXT PRIMARY KEY,
	value INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE mail_box (        -- Mailboxes, also deleted ones.
	id          TEXT PRIMARY KEY,
	name        TEXT NOT NULL,    -- As in the document.
	shown       TEXT NOT NULL,    -- Unique among those that are not deleted.
	use         TEXT NOT NULL,
	subscribed  INTEGER NOT NULL,
	deleted     INTEGER NOT NULL,
	uidvalidity INTEGER NOT NULL,
	uidnext     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE mail_body (       -- One row for each msg document.
	row    INTEGER PRIMARY KEY,   -- Of mail_fts.
	id     TEXT NOT NULL UNIQUE,
	digest BLOB NOT NULL,
	date   INTEGER NOT NULL,
	size   INTEGER NOT NULL,
	whole  INTEGER NOT NULL,      -- The index has all of the text.
	head   BLOB,                  -- Of a large message: its header,
	text   TEXT                   -- and its text, so that neither needs the whole.
);
CREATE INDEX mail_body_part ON mail_body (row) WHERE whole = 0;
CREATE TABLE mail_item (       -- One row for each flags document.
	id       TEXT PRIMARY KEY,
	body     TEXT NOT NULL,
	box      TEXT NOT NULL,       -- As the document says.
	present  INTEGER NOT NULL,
	expunged INTEGER NOT NULL,
	flags    TEXT NOT NULL        -- Separated by spaces.
) WITHOUT ROWID;
CREATE INDEX mail_item_body ON mail_item (body);
CREATE INDEX mail_item_box ON mail_item (box);
CREATE INDEX mail_item_expunged ON mail_item (expunged) WHERE present = 0;
CREATE TABLE mail_uid (        -- Append-only.
	box    TEXT NOT NULL,
	uid    INTEGER NOT NULL,
	item   TEXT NOT NULL,
	flags  TEXT NOT NULL,
	modseq INTEGER NOT NULL,
	gone   INTEGER NOT NULL,
	PRIMARY KEY (box, uid)
) WITHOUT ROWID;
CREATE UNIQUE INDEX mail_uid_item ON mail_uid (item) WHERE gone = 0;
CREATE INDEX mail_uid_modseq ON mail_uid (box, modseq);
CREATE VIRTUAL TABLE mail_fts USING fts5(
	grams, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii'
);
`

// open makes the tables, if they are not there, and fills them from the
// documents.
func (s *Store) open(tx *soledad.Tx) error {
	var n int
	err := tx.SQL().QueryRow(`SELECT count(*) FROM sqlite_schema WHERE name = 'mail_meta'`).Scan(&n)
	if err != nil || n > 0 {
		return err
	}
	if _, err := tx.SQL().Exec(schema); err != nil {
		return err
	}
	// The UIDVALIDITY of the first mailbox is the time of the table's creation;
	// each later mailbox has the next number.
	created := time.Now().Unix() & 0xffffffff
	for key, value := range map[string]int64{"version": schemaVersion, "uidvalidity": created, "modseq": 0} {
		if _, err := tx.SQL().Exec(`INSERT INTO mail_meta VALUES (?, ?)`, key, value); err != nil {
			return err
		}
	}
	for _, m := range defaults {
		if err := insertMailbox(tx.SQL(), m.ID, m.Name, m.Use); err != nil {
			return err
		}
	}
	for typ, hook := range map[string]func(*soledad.Tx, soledad.Doc) error{"mbox": s.onMailbox, "msg": s.onMessage, "flags": s.onFlags} {
		if err := tx.Each(typ, func(d soledad.Doc) error { return hook(tx, d) }); err != nil {
			return err
		}
	}
	return nil
}

// next increments a counter of mail_meta and returns its old value. It is two
// statements because UPDATE with RETURNING opens a savepoint, at which FTS5
// writes out what it has gathered: a message would cost ten times as much.
func next(tx *sql.Tx, key string) (int64, error) {
	var v int64
	if err := tx.QueryRow(`SELECT value FROM mail_meta WHERE key = ?`, key).Scan(&v); err != nil {
		return 0, err
	}
	_, err := tx.Exec(`UPDATE mail_meta SET value = ? WHERE key = ?`, v+1, key)
	return v, err
}

// found turns "no rows" into false.
func found(err error) (bool, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
