package mailstore

import (
	"context"
	"time"

	"leap.example/client/mailstore/flags"
	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
)

// load returns the state of an item.
func load(tx *soledad.Tx, id string) (flags.State, error) {
	d, err := tx.Get("flags/" + id)
	if err != nil {
		return flags.State{}, err
	}
	return flags.Decode(d.Body)
}

// each calls f for the messages of a mailbox that have the given UIDs and are
// there, in the order of the UIDs. Others are passed over: a mail program may
// name what another device has just removed.
func each(tx *soledad.Tx, box string, uids []uint32, f func(uid uint32, item string) error) error {
	for _, uid := range uids {
		var item string
		ok, err := found(tx.SQL().QueryRow(`SELECT item FROM mail_uid WHERE box = ? AND uid = ? AND gone = 0`, box, uid).Scan(&item))
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := f(uid, item); err != nil {
			return err
		}
	}
	return nil
}

// SetFlags adds and removes flags of messages of a mailbox, given by its id.
// A flag that cannot be stored is a problem.Invalid, too many on one message a
// problem.Limit error.
func (s *Store) SetFlags(ctx context.Context, box string, uids []uint32, add, remove []string) error {
	if err := checkFlags(add); err != nil {
		return err
	}
	return s.docs.Update(ctx, func(tx *soledad.Tx) error {
		return each(tx, box, uids, func(_ uint32, item string) error {
			st, err := load(tx, item)
			if err != nil {
				return err
			}
			return s.setFlags(tx, item, st, add, remove)
		})
	})
}

// ReplaceFlags makes the flags of messages exactly the given ones. Errors are
// those of SetFlags.
func (s *Store) ReplaceFlags(ctx context.Context, box string, uids []uint32, all []string) error {
	if err := checkFlags(all); err != nil {
		return err
	}
	return s.docs.Update(ctx, func(tx *soledad.Tx) error {
		return each(tx, box, uids, func(_ uint32, item string) error {
			st, err := load(tx, item)
			if err != nil {
				return err
			}
			return s.setFlags(tx, item, st, all, st.Flags())
		})
	})
}

func (s *Store) setFlags(tx *soledad.Tx, item string, st flags.State, add, remove []string) error {
	st = st.Set(s.docs.Replica(), add, remove)
	if len(add) > 0 && len(st.Flags()) > flags.Max {
		return problem.Limit.Errorf("%d flags on one message", len(st.Flags()))
	}
	return putFlags(tx, item, st)
}

// A Copied says which UIDs a Copy or a Move gave: From[i] became To[i].
type Copied struct {
	UIDValidity uint32 // Of the destination.
	From, To    []uint32
}

// Copy copies messages of a mailbox, given by its id, to another, given by
// its name, with their flags and internal dates. The copy has flags and a life
// of its own; the body is shared. A destination that does not exist is a
// problem.NotExist error.
func (s *Store) Copy(ctx context.Context, box string, uids []uint32, dest string) (Copied, error) {
	return s.transfer(ctx, box, uids, dest, func(tx *soledad.Tx, item, to string) (string, error) {
		st, err := load(tx, item)
		if err != nil {
			return "", err
		}
		id := newID()
		return id, putFlags(tx, id, flags.New(s.docs.Replica(), st.Body(), to, st.Flags()))
	})
}

// Move moves messages of a mailbox, given by its id, to another, given by its
// name. Each keeps its identity on all devices, and gets a new UID. A
// destination that does not exist is a problem.NotExist error.
func (s *Store) Move(ctx context.Context, box string, uids []uint32, dest string) (Copied, error) {
	return s.transfer(ctx, box, uids, dest, func(tx *soledad.Tx, item, to string) (string, error) {
		return item, s.move(tx, item, to)
	})
}

func (s *Store) move(tx *soledad.Tx, item, to string) error {
	st, err := load(tx, item)
	if err != nil {
		return err
	}
	if to == trashID {
		return putFlags(tx, item, st.Discard(s.docs.Replica(), to))
	}
	return putFlags(tx, item, st.Move(s.docs.Replica(), to))
}

func (s *Store) transfer(ctx context.Context, box string, uids []uint32, dest string, f func(tx *soledad.Tx, item, to string) (string, error)) (c Copied, err error) {
	err = s.docs.Update(ctx, func(tx *soledad.Tx) error {
		to, err := mailbox(tx.SQL(), dest)
		if err != nil {
			return err
		}
		c = Copied{UIDValidity: to.UIDValidity}
		return each(tx, box, uids, func(uid uint32, item string) error {
			id, err := f(tx, item, to.ID)
			if err != nil {
				return err
			}
			var got uint32
			if err := tx.SQL().QueryRow(`SELECT uid FROM mail_uid WHERE item = ? AND gone = 0`, id).Scan(&got); err != nil {
				return err
			}
			c.From, c.To = append(c.From, uid), append(c.To, got)
			return nil
		})
	})
	return c, err
}

// Expunge removes those of the named messages of a mailbox, given by its id,
// that carry \Deleted, and no others. It returns their UIDs.
func (s *Store) Expunge(ctx context.Context, box string, uids []uint32) (gone []uint32, err error) {
	err = s.docs.Update(ctx, func(tx *soledad.Tx) error {
		gone = nil
		return each(tx, box, uids, func(uid uint32, item string) error {
			st, err := load(tx, item)
			if err != nil || !st.Has(flags.Deleted) {
				return err
			}
			gone = append(gone, uid)
			return putFlags(tx, item, st.Expunge(s.docs.Replica(), time.Now().Unix()))
		})
	})
	return gone, err
}
