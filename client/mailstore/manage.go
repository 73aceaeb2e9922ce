package mailstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
)

// CreateMailbox makes a mailbox, subscribed, and those above it. A name that
// is taken is a problem.Exist, one that cannot be a problem.Invalid error.
func (s *Store) CreateMailbox(ctx context.Context, name string) error {
	name = canonicalName(strings.TrimSuffix(name, string(Delimiter))) // RFC 9051, 6.3.4.
	if !validName(name) {
		return problem.Invalid.Errorf("a mailbox cannot have that name")
	}
	return s.docs.Update(ctx, func(tx *soledad.Tx) error {
		if _, err := mailbox(tx.SQL(), name); err == nil {
			return problem.Exist.Errorf("the mailbox exists")
		}
		return createMailbox(tx, name)
	})
}

func createMailbox(tx *soledad.Tx, name string) error {
	if i := strings.LastIndexByte(name, Delimiter); i >= 0 {
		above := name[:i]
		if _, err := mailbox(tx.SQL(), above); err != nil {
			if err := createMailbox(tx, above); err != nil {
				return err
			}
		}
	}
	id, err := freeID(tx.SQL(), name)
	if err != nil {
		return err
	}
	return putMailbox(tx, id, func(d *mailboxDoc) { d.Name, d.Subscribed = name, true })
}

// freeID returns the id of a new mailbox. It follows from the name, so that
// two devices that make the same mailbox make one; unless that id belongs to a
// mailbox that was renamed.
func freeID(tx *sql.Tx, name string) (string, error) {
	for i := 0; ; i++ {
		sum := sha256.Sum256([]byte("leap/mbox/v1|" + strconv.Itoa(i) + "|" + name))
		id := hex.EncodeToString(sum[:8])
		var deleted bool
		known, err := found(tx.QueryRow(`SELECT deleted FROM mail_box WHERE id = ?`, id).Scan(&deleted))
		if err != nil {
			return "", err
		}
		if !known || deleted {
			return id, nil
		}
	}
}

// putMailbox changes a mailbox's document, or makes it.
func putMailbox(tx *soledad.Tx, id string, change func(*mailboxDoc)) error {
	var doc mailboxDoc
	d, err := tx.Get("mbox/" + id)
	if err == nil && !d.Deleted && json.Unmarshal(d.Body, &doc) != nil {
		return problem.Invalid.Errorf("the mailbox is of a newer version")
	}
	if isDefault(id) {
		doc.Subscribed = true
		for _, m := range defaults {
			if m.ID == id {
				doc.Name = m.Name
			}
		}
	}
	doc.Version = mailboxVersion
	doc.Edit++
	change(&doc)
	data, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return tx.Put(soledad.Doc{ID: "mbox/" + id, Type: "mbox", Body: data})
}

// Subscribe sets whether a mailbox is subscribed.
func (s *Store) Subscribe(ctx context.Context, name string, subscribed bool) error {
	return s.docs.Update(ctx, func(tx *soledad.Tx) error {
		m, err := mailbox(tx.SQL(), name)
		if err != nil || m.Subscribed == subscribed {
			return err
		}
		return putMailbox(tx, m.ID, func(d *mailboxDoc) { d.Subscribed = subscribed })
	})
}

// DeleteMailbox removes a mailbox. Messages that are in it go to the trash:
// nobody has named them. The mailboxes that always exist, and one that has
// others below it, are a problem.Permission error.
func (s *Store) DeleteMailbox(ctx context.Context, name string) error {
	return s.docs.Update(ctx, func(tx *soledad.Tx) error {
		m, err := mailbox(tx.SQL(), name)
		if err != nil {
			return err
		}
		below, err := below(tx.SQL(), m.Name)
		if err != nil {
			return err
		}
		if isDefault(m.ID) || len(below) > 0 {
			return problem.Permission.Errorf("this mailbox cannot be deleted")
		}
		items, err := column[string](tx.SQL(), `SELECT item FROM mail_uid WHERE box = ? AND gone = 0`, m.ID)
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := s.move(tx, item, trashID); err != nil {
				return err
			}
		}
		return tx.Delete("mbox/" + m.ID)
	})
}

// RenameMailbox renames a mailbox and those below it. The mailboxes that
// always exist are a problem.Permission error.
func (s *Store) RenameMailbox(ctx context.Context, from, to string) error {
	to = canonicalName(strings.TrimSuffix(to, string(Delimiter)))
	if !validName(to) {
		return problem.Invalid.Errorf("a mailbox cannot have that name")
	}
	return s.docs.Update(ctx, func(tx *soledad.Tx) error {
		m, err := mailbox(tx.SQL(), from)
		if err != nil {
			return err
		}
		if isDefault(m.ID) || strings.HasPrefix(to, m.Name+string(Delimiter)) {
			return problem.Permission.Errorf("this mailbox cannot be renamed so")
		}
		if _, err := mailbox(tx.SQL(), to); err == nil {
			return problem.Exist.Errorf("the mailbox exists")
		}
		all, err := below(tx.SQL(), m.Name)
		if err != nil {
			return err
		}
		if i := strings.LastIndexByte(to, Delimiter); i >= 0 {
			if _, err := mailbox(tx.SQL(), to[:i]); err != nil {
				if err := createMailbox(tx, to[:i]); err != nil {
					return err
				}
			}
		}
		for _, b := range append(all, m) {
			name := to + strings.TrimPrefix(b.Name, m.Name)
			if err := putMailbox(tx, b.ID, func(d *mailboxDoc) { d.Name = name }); err != nil {
				return err
			}
		}
		return nil
	})
}

// below returns the mailboxes under a name.
func below(tx *sql.Tx, name string) ([]Mailbox, error) {
	all, err := mailboxes(tx)
	if err != nil {
		return nil, err
	}
	var list []Mailbox
	for _, m := range all {
		if strings.HasPrefix(m.Name, name+string(Delimiter)) {
			list = append(list, m)
		}
	}
	return list, nil
}
