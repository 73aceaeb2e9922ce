package mailstore

import (
	"crypto/sha256"
	"database/sql"
	"strings"

	"leap.example/client/mailmime"
	"leap.example/client/mailstore/flags"
	"leap.example/client/soledad"
)

// The hooks keep the tables in step with the documents, in the transaction
// that changes a document, whether the change is local or came by sync. The
// documents of one message may come in any order and in different
// transactions: a message is shown once its body, its flags and its mailbox
// are there.

const (
	maxText = 1 << 20  // Bytes of a message's text that searches see.
	large   = 64 << 10 // Bytes of a message that is read in whole only for its body.
)

func localID(d soledad.Doc) string {
	_, id, _ := strings.Cut(d.ID, "/")
	return id
}

// onMessage indexes a body.
func (s *Store) onMessage(tx *soledad.Tx, d soledad.Doc) error {
	id := localID(d)
	var row int64
	var old []byte
	known, err := found(tx.SQL().QueryRow(`SELECT row, digest FROM mail_body WHERE id = ?`, id).Scan(&row, &old))
	if err != nil {
		return err
	}
	if d.Deleted {
		if !known {
			return nil
		}
		if err := dropBody(tx.SQL(), row); err != nil {
			return err
		}
		return placeAll(tx.SQL(), `body = ?`, id, false)
	}
	b, err := decodeBody(d.Body)
	if err != nil {
		return nil // Of a newer version, or damaged: as if it were not there.
	}
	digest := sha256.Sum256(d.Body)
	if known && string(old) == string(digest[:]) {
		return nil
	}
	if known {
		if err := dropBody(tx.SQL(), row); err != nil {
			return err
		}
	}
	if err := insertBody(tx.SQL(), id, digest[:], b); err != nil {
		return err
	}
	// A UID names octets that never change (RFC 9051, 2.3.1.1): what was merged
	// into other octets gets a new one.
	return placeAll(tx.SQL(), `body = ?`, id, known)
}

func dropBody(tx *sql.Tx, row int64) error {
	if _, err := tx.Exec(`DELETE FROM mail_fts WHERE rowid = ?`, row); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM mail_body WHERE row = ?`, row)
	return err
}

func insertBody(tx *sql.Tx, id string, digest []byte, b body) error {
	head, _ := mailmime.Split(b.raw)
	text := mailmime.Parse(b.raw).Text(maxText)
	indexed := headerText(mailmime.ParseHeader(head)) + text
	whole := len(indexed) <= maxIndexed
	indexed = indexed[:min(len(indexed), maxIndexed)]
	var keptHead, keptText any
	if len(b.raw) > large && len(head)+len(text) <= large {
		keptHead, keptText = head, text
	}
	r, err := tx.Exec(`INSERT INTO mail_body (id, digest, date, size, whole, head, text) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		id, digest, b.Date, len(b.raw), whole, keptHead, keptText)
	if err != nil {
		return err
	}
	row, err := r.LastInsertId()
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO mail_fts (rowid, grams) VALUES (?, ?)`, row, grams(fold(indexed)))
	return err
}

// onFlags takes the state of a message.
func (s *Store) onFlags(tx *soledad.Tx, d soledad.Doc) error {
	id := localID(d)
	if d.Deleted {
		if _, err := tx.SQL().Exec(`DELETE FROM mail_item WHERE id = ?`, id); err != nil {
			return err
		}
		return place(tx.SQL(), id, false)
	}
	st, err := flags.Decode(d.Body)
	if err != nil {
		return nil // Of a newer version, or damaged: the last state that was read stays.
	}
	_, err = tx.SQL().Exec(`INSERT OR REPLACE INTO mail_item VALUES (?, ?, ?, ?, ?, ?)`,
		id, st.Body(), st.Mailbox(), st.Present(), st.Expunged(), strings.Join(st.Flags(), " "))
	if err != nil {
		return err
	}
	return place(tx.SQL(), id, false)
}

// placeAll places the items that a condition on mail_item names.
func placeAll(tx *sql.Tx, where, arg string, renew bool) error {
	ids, err := column[string](tx, `SELECT id FROM mail_item WHERE `+where, arg)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := place(tx, id, renew); err != nil {
			return err
		}
	}
	return nil
}

// place gives an item its UID in the mailbox where it belongs, takes away the
// one it had elsewhere, and notes changed flags. With renew it gets a new UID
// in any case.
func place(tx *sql.Tx, id string, renew bool) error {
	const want = `
		SELECT CASE WHEN b.deleted THEN 'inbox' ELSE b.id END, i.flags
		FROM mail_item i JOIN mail_body m ON m.id = i.body JOIN mail_box b ON b.id = i.box
		WHERE i.id = ? AND i.present`
	var box, flags string
	shown, err := found(tx.QueryRow(want, id).Scan(&box, &flags))
	if err != nil {
		return err
	}
	var oldBox, oldFlags string
	var uid int64
	had, err := found(tx.QueryRow(`SELECT box, uid, flags FROM mail_uid WHERE item = ? AND gone = 0`, id).Scan(&oldBox, &uid, &oldFlags))
	if err != nil {
		return err
	}
	stays := had && shown && box == oldBox && !renew
	if stays && flags == oldFlags || !had && !shown {
		return nil
	}
	modseq, err := next(tx, "modseq")
	if err != nil {
		return err
	}
	if stays {
		_, err := tx.Exec(`UPDATE mail_uid SET flags = ?, modseq = ? WHERE box = ? AND uid = ?`, flags, modseq, box, uid)
		return err
	}
	if had {
		if _, err := tx.Exec(`UPDATE mail_uid SET gone = 1, modseq = ? WHERE box = ? AND uid = ?`, modseq, oldBox, uid); err != nil {
			return err
		}
	}
	if !shown {
		return nil
	}
	if err := tx.QueryRow(`SELECT uidnext FROM mail_box WHERE id = ?`, box).Scan(&uid); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE mail_box SET uidnext = ? WHERE id = ?`, uid+1, box); err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO mail_uid VALUES (?, ?, ?, ?, ?, 0)`, box, uid, id, flags, modseq)
	return err
}

// column returns all values of a query of one column.
func column[T any](tx *sql.Tx, query string, args ...any) ([]T, error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}
