package mailstore

import (
	"context"
	"fmt"
	"time"

	"leap.example/client/mailstore/flags"
	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
)

// A Store is the mailboxes of one account. Its methods may be called from any
// goroutine. An error that is none of the kinds a method names is that of the
// disk, or of the context.
type Store struct {
	docs *soledad.Store
}

// New returns the mailboxes over a store, and makes their tables if they are
// not there. It is called before the store is used otherwise: it registers
// hooks.
func New(ctx context.Context, docs *soledad.Store) (*Store, error) {
	s := &Store{docs}
	docs.Hook("mbox", s.onMailbox)
	docs.Hook("msg", s.onMessage)
	docs.Hook("flags", s.onFlags)
	docs.Merge("mbox", mergeMailboxes)
	docs.Merge("msg", mergeMessages)
	docs.Merge("flags", mergeFlags)
	if err := docs.Update(ctx, s.open); err != nil {
		return nil, fmt.Errorf("opening the mailboxes: %w", err)
	}
	return s, nil
}

func mergeFlags(mine, theirs soledad.Doc) (soledad.Doc, error) {
	if d, ok := mergeDeleted(mine, theirs); ok {
		return d, nil
	}
	a, errA := flags.Decode(mine.Body)
	b, errB := flags.Decode(theirs.Body)
	switch {
	case errA == nil && errB == nil:
		mine.Body = flags.Merge(a, b).Encode()
		return mine, nil
	case errA == nil:
		return mine, nil
	}
	return theirs, nil
}

// Watch returns a channel that gets a value after anything may have changed;
// several changes may be one value. cancel ends it.
func (s *Store) Watch() (ch <-chan struct{}, cancel func()) { return s.docs.Subscribe() }

// DocIDs returns the local ids of the documents of a message: what
// soledad.Store.Confirmed asks for.
func DocIDs(id string) []string { return []string{"msg/" + id, "flags/" + id} }

// Grace is how long the body of an expunged message is kept. So long a device
// that is away may have moved the message elsewhere at the same time: the
// message then stays.
const Grace = 30 * 24 * time.Hour

// Collect removes documents of messages that were expunged more than Grace
// before now, some hundred at most, and returns how many.
func (s *Store) Collect(ctx context.Context, now time.Time) (n int, err error) {
	err = s.docs.Update(ctx, func(tx *soledad.Tx) error {
		ids, err := column[string](tx.SQL(), `SELECT id FROM mail_item WHERE present = 0 AND expunged < ? LIMIT 500`, now.Add(-Grace).Unix())
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := collect(tx, id); err != nil {
				return err
			}
		}
		n = len(ids)
		return nil
	})
	return n, err
}

// collect removes the flags document of an item, and the body if nothing else
// has it.
func collect(tx *soledad.Tx, id string) error {
	var body string
	var others int
	err := tx.SQL().QueryRow(`SELECT i.body, (SELECT count(*) FROM mail_item o WHERE o.body = i.body AND o.id <> i.id)
		FROM mail_item i WHERE i.id = ?`, id).Scan(&body, &others)
	if err != nil {
		return err
	}
	if err := tx.Delete("flags/" + id); err != nil {
		return err
	}
	if others > 0 {
		return nil
	}
	if err := tx.Delete("msg/" + body); err != nil && problem.KindOf(err) != problem.NotExist {
		return err
	}
	return nil
}
