package mailstore

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"leap.example/client/mailmime"
	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
)

// An Item is one message in one mailbox.
type Item struct {
	UID   uint32
	Flags []string // Canonical case, sorted.
	Gone  bool     // Only from Changes: it is no longer in the mailbox.

	Date time.Time // Internal date.
	Size int64     // Bytes.
	body string
}

const itemQuery = `
	SELECT u.uid, u.flags, u.gone, u.modseq, coalesce(m.date, 0), coalesce(m.size, 0), coalesce(i.body, '')
	FROM mail_uid u LEFT JOIN mail_item i ON i.id = u.item LEFT JOIN mail_body m ON m.id = i.body
	WHERE u.box = ? AND `

// Items returns the messages of a mailbox, given by its id, by UID, and the
// number from which Changes goes on.
func (s *Store) Items(ctx context.Context, box string) (items []Item, modseq int64, err error) {
	err = s.docs.View(ctx, func(tx *soledad.Tx) error {
		if err := tx.SQL().QueryRow(`SELECT value FROM mail_meta WHERE key = 'modseq'`).Scan(&modseq); err != nil {
			return err
		}
		items, _, err = scanItems(tx.SQL(), itemQuery+`u.gone = 0 ORDER BY u.uid`, box)
		return err
	})
	return items, modseq, err
}

// Changes returns what has changed in a mailbox, given by its id, after the
// given number, in the order of the changes, and the number from which to go
// on. Of several changes of one message the last is told.
func (s *Store) Changes(ctx context.Context, box string, after int64) (items []Item, modseq int64, err error) {
	err = s.docs.View(ctx, func(tx *soledad.Tx) error {
		items, modseq, err = scanItems(tx.SQL(), itemQuery+`u.modseq >= ? ORDER BY u.modseq, u.uid`, box, after)
		return err
	})
	return items, max(modseq+1, after), err
}

func scanItems(tx *sql.Tx, query string, args ...any) (items []Item, modseq int64, err error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	modseq = -1
	for rows.Next() {
		var it Item
		var flags string
		var date int64
		if err := rows.Scan(&it.UID, &flags, &it.Gone, &modseq, &date, &it.Size, &it.body); err != nil {
			return nil, 0, err
		}
		it.Flags, it.Date = strings.Fields(flags), time.Unix(date, 0).UTC()
		items = append(items, it)
	}
	return items, modseq, rows.Err()
}

// A Status is the figures of a mailbox.
type Status struct {
	Mailbox
	Messages, Unseen, Deleted uint32
	Size                      int64 // Of all messages, bytes.
}

// Status returns the figures of a mailbox, or a problem.NotExist error.
func (s *Store) Status(ctx context.Context, name string) (st Status, err error) {
	err = s.docs.View(ctx, func(tx *soledad.Tx) error {
		if st.Mailbox, err = mailbox(tx.SQL(), name); err != nil {
			return err
		}
		return tx.SQL().QueryRow(`
			SELECT count(*), coalesce(sum(instr(' '||u.flags||' ', ' \Seen ') = 0), 0),
				coalesce(sum(instr(' '||u.flags||' ', ' \Deleted ') > 0), 0), coalesce(sum(m.size), 0)
			FROM mail_uid u JOIN mail_item i ON i.id = u.item JOIN mail_body m ON m.id = i.body
			WHERE u.box = ? AND u.gone = 0`, st.ID).Scan(&st.Messages, &st.Unseen, &st.Deleted, &st.Size)
	})
	return st, err
}

// Raw returns the octets of a message: always the same for one UID.
// problem.NotExist: it was removed.
func (s *Store) Raw(ctx context.Context, it Item) (raw []byte, err error) {
	err = s.docs.View(ctx, func(tx *soledad.Tx) error {
		b, err := loadBody(tx, it.body)
		raw = b.raw
		return err
	})
	return raw, err
}

// Head returns the header of a message with its final empty line, without
// reading the rest of a large one. problem.NotExist: it was removed.
func (s *Store) Head(ctx context.Context, it Item) (head []byte, err error) {
	err = s.docs.View(ctx, func(tx *soledad.Tx) error {
		if it.Size > large {
			err := tx.SQL().QueryRow(`SELECT head FROM mail_body WHERE id = ?`, it.body).Scan(&head)
			if ok, err := found(err); err != nil || ok && head != nil {
				return err
			}
		}
		b, err := loadBody(tx, it.body)
		head, _ = mailmime.Split(b.raw)
		return err
	})
	return head, err
}

func loadBody(tx *soledad.Tx, id string) (body, error) {
	if id == "" {
		return body{}, problem.NotExist.Errorf("the message was removed")
	}
	d, err := tx.Get("msg/" + id)
	if err != nil {
		return body{}, err
	}
	return decodeBody(d.Body)
}
