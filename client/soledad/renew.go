package soledad

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"leap.example/services/protocol/u1db"
)

// renew gives the store a new replica uid and begins its log anew (client.md
// 4.5, rule C). What the old uid's counters say of changes that are not
// synchronised cannot be trusted, since the lost log may have used them for
// others: these changes are made again, on top of the version that the server
// is known to have.
func (s *Store) renew(ctx context.Context) error {
	uid, err := u1db.NewReplica(rand.Reader)
	if err != nil {
		return err
	}
	err = s.Update(ctx, func(tx *Tx) error {
		tx.replica = uid
		err := errors.Join(tx.setMeta(metaReplica, uid), tx.setMeta(metaPushed, 0), tx.setMeta(metaChainGen, 0),
			tx.exec("DELETE FROM log"), tx.exec("UPDATE doc SET gen = 0"),
			tx.exec("UPDATE conflict SET rev = ? || ':' || rowid", uid))
		if err != nil {
			return err
		}
		ids, err := tx.ids("SELECT id FROM doc WHERE acked <> rev ORDER BY id")
		if err != nil {
			return err
		}
		for _, id := range ids {
			r, err := tx.load(id)
			if err != nil {
				return err
			}
			base, err := revision(r.acked)
			if err != nil {
				return err
			}
			if err := tx.changeTo(r, base.Next(uid), r.body, r.deleted); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("taking a new replica uid: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uid = uid
	return nil
}

// Reconcile accepts the server's present state after an ErrRollback: the next
// Sync fetches all that it has and sends all that is here; what the server
// lost comes back, and versions are put in order as ever.
func (s *Store) Reconcile(ctx context.Context) error {
	err := s.Update(ctx, func(tx *Tx) error {
		err := errors.Join(tx.setMeta(metaTarget, ""), tx.setMeta(metaKnownGen, 0), tx.setMeta(metaKnownTrans, ""),
			tx.setMeta(metaPushed, 0), tx.setMeta(metaKeyring, 0), tx.setMeta(metaResend, 1))
		if err != nil {
			return err
		}
		ids, err := tx.ids("SELECT id FROM doc WHERE acked = rev ORDER BY id")
		if err != nil {
			return err
		}
		for _, id := range ids {
			r, err := tx.load(id)
			if err != nil {
				return err
			}
			if err := tx.move(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("preparing for the server's state: %w", err)
	}
	return nil
}

func (tx *Tx) ids(query string) ([]string, error) {
	rows, err := tx.query(query)
	if err != nil {
		return nil, err
	}
	var ids []string
	for rows.Next() && err == nil {
		id := ""
		err = rows.Scan(&id)
		ids = append(ids, id)
	}
	return ids, errors.Join(err, rows.Err(), rows.Close())
}

// Pending returns how many documents, conflicts included, the server does not
// have as they are here.
func (s *Store) Pending(ctx context.Context) (n int, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		_, err := tx.scan([]any{&n}, "SELECT (SELECT count(*) FROM doc WHERE acked <> rev) + (SELECT count(*) FROM conflict)")
		return err
	})
	return n, err
}

// Confirmed reports whether the server has acknowledged the present versions
// of all these documents, by local id; deleted ones count, unknown ones do not.
func (s *Store) Confirmed(ctx context.Context, ids ...string) (all bool, err error) {
	all = true
	err = s.View(ctx, func(tx *Tx) error {
		for _, id := range ids {
			found, err := tx.scan([]any{new(int)}, "SELECT 1 FROM doc WHERE id = ?1 AND acked = rev AND NOT EXISTS (SELECT 1 FROM conflict WHERE id = ?1)", id)
			if err != nil {
				return err
			}
			all = all && found
		}
		return nil
	})
	return all && err == nil, err
}
