package mailstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
)

// Delimiter separates the levels of a mailbox's name.
const Delimiter = '/'

// A Mailbox is one mailbox as this device shows it.
type Mailbox struct {
	ID          string // Stays when the name changes.
	Name        string // Unique. "INBOX" is written so.
	Use         string // SPECIAL-USE attribute (RFC 6154), as \Sent, or "".
	Subscribed  bool
	UIDValidity uint32 // Never changes while the local store lives.
	UIDNext     uint32
}

// Mailboxes that always exist.
const (
	Inbox   = "INBOX"
	Sent    = "Sent"
	Drafts  = "Drafts"
	Trash   = "Trash"
	Archive = "Archive"
)

// Ids of two of them. The id of a default mailbox is the same on all devices.
const (
	inboxID = "inbox"
	trashID = "trash"
)

var defaults = []Mailbox{
	{ID: inboxID, Name: Inbox},
	{ID: "sent", Name: Sent, Use: `\Sent`},
	{ID: "drafts", Name: Drafts, Use: `\Drafts`},
	{ID: trashID, Name: Trash, Use: `\Trash`},
	{ID: "archive", Name: Archive, Use: `\Archive`},
}

func isDefault(id string) bool {
	for _, m := range defaults {
		if m.ID == id {
			return true
		}
	}
	return false
}

// A mailboxDoc is the content of an "mbox" document.
type mailboxDoc struct {
	Version    int    `json:"v"`
	Edit       int    `json:"edit"` // Counts the changes; of two versions the one with more wins.
	Name       string `json:"name"`
	Subscribed bool   `json:"subscribed"`
}

const mailboxVersion = 1

// mergeMailboxes chooses between two versions of a mailbox document, the same
// in any order.
func mergeMailboxes(mine, theirs soledad.Doc) (soledad.Doc, error) {
	if d, ok := mergeDeleted(mine, theirs); ok {
		return d, nil
	}
	var a, b mailboxDoc
	errA, errB := json.Unmarshal(mine.Body, &a), json.Unmarshal(theirs.Body, &b)
	if errB != nil || errA == nil && (a.Edit > b.Edit || a.Edit == b.Edit && string(mine.Body) > string(theirs.Body)) {
		return mine, nil
	}
	return theirs, nil
}

// insertMailbox makes the row of a mailbox, with a UIDVALIDITY of its own.
func insertMailbox(tx *sql.Tx, id, name, use string) error {
	v, err := next(tx, "uidvalidity")
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO mail_box VALUES (?, ?, ?, ?, 1, 0, ?, 1)`, id, name, name, use, v)
	return err
}

// onMailbox takes a mailbox document over.
func (s *Store) onMailbox(tx *soledad.Tx, d soledad.Doc) error {
	id := localID(d)
	var doc mailboxDoc
	if !d.Deleted && (json.Unmarshal(d.Body, &doc) != nil || doc.Version != mailboxVersion || !validName(doc.Name)) {
		return nil // Of a newer version, or damaged.
	}
	if isDefault(id) { // Only the subscription is the user's.
		_, err := tx.SQL().Exec(`UPDATE mail_box SET subscribed = ? WHERE id = ?`, d.Deleted || doc.Subscribed, id)
		return err
	}
	var deleted bool
	known, err := found(tx.SQL().QueryRow(`SELECT deleted FROM mail_box WHERE id = ?`, id).Scan(&deleted))
	if err != nil {
		return err
	}
	if !known {
		if err := insertMailbox(tx.SQL(), id, doc.Name, ""); err != nil {
			return err
		}
	}
	if d.Deleted {
		_, err = tx.SQL().Exec(`UPDATE mail_box SET deleted = 1 WHERE id = ?`, id)
	} else {
		_, err = tx.SQL().Exec(`UPDATE mail_box SET deleted = 0, name = ?, subscribed = ? WHERE id = ?`, doc.Name, doc.Subscribed, id)
	}
	if err != nil {
		return err
	}
	if err := showNames(tx.SQL()); err != nil {
		return err
	}
	if known && deleted == d.Deleted {
		return nil
	}
	return placeAll(tx.SQL(), `box = ?`, id, false)
}

// showNames gives every mailbox the name under which it is shown: its own, or,
// if devices have given one name to several mailboxes, to those of later ids
// the name and a part of the id.
func showNames(tx *sql.Tx) error {
	rows, err := tx.Query(`SELECT id, name, shown FROM mail_box WHERE NOT deleted ORDER BY id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	taken := map[string]bool{}
	for _, m := range defaults {
		taken[m.Name] = true
	}
	changed := map[string]string{}
	for rows.Next() {
		var id, name, shown string
		if err := rows.Scan(&id, &name, &shown); err != nil {
			return err
		}
		want := name
		if taken[name] && !isDefault(id) {
			want = name + "~" + id
		}
		taken[name] = true
		if want != shown {
			changed[id] = want
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for id, shown := range changed {
		if _, err := tx.Exec(`UPDATE mail_box SET shown = ? WHERE id = ?`, shown, id); err != nil {
			return err
		}
	}
	return nil
}

const mailboxColumns = `id, shown, use, subscribed, uidvalidity, uidnext`

func scanMailbox(row interface{ Scan(...any) error }) (Mailbox, error) {
	var m Mailbox
	err := row.Scan(&m.ID, &m.Name, &m.Use, &m.Subscribed, &m.UIDValidity, &m.UIDNext)
	return m, err
}

// Mailboxes returns all mailboxes, by name.
func (s *Store) Mailboxes(ctx context.Context) (list []Mailbox, err error) {
	err = s.docs.View(ctx, func(tx *soledad.Tx) error {
		list, err = mailboxes(tx.SQL())
		return err
	})
	return list, err
}

func mailboxes(tx *sql.Tx) ([]Mailbox, error) {
	rows, err := tx.Query(`SELECT ` + mailboxColumns + ` FROM mail_box WHERE NOT deleted ORDER BY shown`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Mailbox
	for rows.Next() {
		m, err := scanMailbox(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, rows.Err()
}

// Mailbox returns one mailbox, or a problem.NotExist error.
func (s *Store) Mailbox(ctx context.Context, name string) (m Mailbox, err error) {
	err = s.docs.View(ctx, func(tx *soledad.Tx) error {
		m, err = mailbox(tx.SQL(), name)
		return err
	})
	return m, err
}

func mailbox(tx *sql.Tx, name string) (Mailbox, error) {
	m, err := scanMailbox(tx.QueryRow(`SELECT `+mailboxColumns+` FROM mail_box WHERE shown = ? AND NOT deleted`, canonicalName(name)))
	if ok, err := found(err); !ok {
		if err == nil {
			err = problem.NotExist.Errorf("no mailbox of that name")
		}
		return Mailbox{}, err
	}
	return m, nil
}

// canonicalName writes INBOX, which has no case (RFC 9051, 5.1), in capitals.
func canonicalName(name string) string {
	first, rest, deep := strings.Cut(name, string(Delimiter))
	if !strings.EqualFold(first, Inbox) {
		return name
	}
	if deep {
		return Inbox + string(Delimiter) + rest
	}
	return Inbox
}

// validName reports whether a mailbox may be called so: levels that are not
// empty, of printable UTF-8, without wildcards.
func validName(name string) bool {
	if len(name) > 1000 || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.IsPrint(r) || r == '*' || r == '%'
	}) {
		return false
	}
	for level := range strings.SplitSeq(name, string(Delimiter)) {
		if level == "" || strings.TrimSpace(level) != level {
			return false
		}
	}
	return true
}
