package mailstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"leap.example/client/mailstore/flags"
	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
)

// A Message is a message to be stored.
type Message struct {
	ID      string // Id of the message in all devices' stores; empty: a new one.
	Mailbox string // By name.
	Raw     []byte
	Flags   []string
	Date    time.Time // Internal date; zero: now.
	State   State
}

// AppendOptions are the optional arguments of Append.
type AppendOptions struct {
	ID       string // Id of the message in all devices' stores; empty: a new one.
	IfAbsent bool   // Nothing happens if a message of that ID is or was there.
	State    State
}

// Append stores a message and returns its UID and its id. With IfAbsent the
// UID is 0 if the message is no longer there. A mailbox that does not exist is
// a problem.NotExist, an ID that is taken a problem.Exist, a message larger
// than MaxMessage a problem.Limit, and a wrong flag a problem.Invalid error.
func (s *Store) Append(ctx context.Context, mailbox string, raw []byte, flags []string, date time.Time, opt AppendOptions) (uid uint32, id string, err error) {
	m := Message{ID: opt.ID, Mailbox: mailbox, Raw: raw, Flags: flags, Date: date, State: opt.State}
	if m.ID == "" {
		m.ID = newID()
	}
	err = s.docs.Update(ctx, func(tx *soledad.Tx) error {
		added, err := s.Add(tx, m)
		if err != nil {
			return err
		}
		if !added && !opt.IfAbsent {
			return problem.Exist.Errorf("the message is there")
		}
		_, err = found(tx.SQL().QueryRow(`SELECT uid FROM mail_uid WHERE item = ? AND gone = 0`, m.ID).Scan(&uid))
		return err
	})
	if err != nil {
		return 0, "", fmt.Errorf("appending a message: %w", err)
	}
	return uid, m.ID, nil
}

// Add stores a message in a transaction of the caller, who may store other
// things with it. It reports false, and does nothing, if a message of that ID
// is or was there. Errors are those of Append.
func (s *Store) Add(tx *soledad.Tx, m Message) (added bool, err error) {
	if m.ID == "" {
		m.ID = newID()
	}
	if m.Date.IsZero() {
		m.Date = time.Now()
	}
	if len(m.Raw) > MaxMessage {
		return false, problem.Limit.Errorf("a message of %d bytes", len(m.Raw))
	}
	if err := checkFlags(m.Flags); err != nil {
		return false, err
	}
	box, err := mailbox(tx.SQL(), m.Mailbox)
	if err != nil {
		return false, err
	}
	var n int
	if err := tx.SQL().QueryRow(`SELECT count(*) FROM mail_item WHERE id = ?`, m.ID).Scan(&n); err != nil || n > 0 {
		return false, err
	}
	data, err := body{Date: m.Date.Unix(), Signature: m.State.Signature, Encryption: m.State.Encryption, raw: m.Raw}.encode()
	if err != nil {
		return false, err
	}
	if err := tx.Put(soledad.Doc{ID: "msg/" + m.ID, Type: "msg", Body: data}); err != nil {
		return false, err
	}
	return true, putFlags(tx, m.ID, flags.New(s.docs.Replica(), m.ID, box.ID, m.Flags))
}

func putFlags(tx *soledad.Tx, id string, st flags.State) error {
	return tx.Put(soledad.Doc{ID: "flags/" + id, Type: "flags", Body: st.Encode()})
}

// checkFlags accepts what can be stored.
func checkFlags(list []string) error {
	if len(list) > flags.Max {
		return problem.Limit.Errorf("%d flags on one message", len(list))
	}
	if i := slices.IndexFunc(list, func(f string) bool { return !flags.Valid(f) }); i >= 0 {
		return problem.Invalid.Errorf("flag %.40q", list[i])
	}
	return nil
}

func newID() string {
	b := make([]byte, 16)
	rand.Read(b) // Never fails.
	return hex.EncodeToString(b)
}

// AddAll stores messages in one transaction: all of them, or none. Those whose
// ID is or was there are passed over. Errors are those of Append.
func (s *Store) AddAll(ctx context.Context, list []Message) error {
	err := s.docs.Update(ctx, func(tx *soledad.Tx) error {
		for _, m := range list {
			if _, err := s.Add(tx, m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("storing %d messages: %w", len(list), err)
	}
	return nil
}

// Known returns those of the ids whose messages are or were there.
func (s *Store) Known(ctx context.Context, ids []string) (known map[string]bool, err error) {
	err = s.docs.View(ctx, func(tx *soledad.Tx) error {
		known = map[string]bool{}
		for _, id := range ids {
			var body string
			ok, err := found(tx.SQL().QueryRow(`SELECT m.id FROM mail_item i JOIN mail_body m ON m.id = i.body WHERE i.id = ?`, id).Scan(&body))
			if err != nil {
				return err
			}
			known[id] = ok
		}
		return nil
	})
	return known, err
}
