package soledad

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// ErrRollback is returned by Sync when the server knows less than it did
// before, or has another history: an old copy of its database, or worse. The
// caller tells the user and may call Reconcile with his consent.
var ErrRollback = errors.New("the server's history has gone back")

// ErrAccount is returned by Sync when the store belongs to another account or
// another keyring.
var ErrAccount = errors.New("the store belongs to another account")

// Result says what a Sync did.
type Result struct {
	Pushed      int  // Documents that the server took.
	Refused     int  // Documents for which it has no room, or which are too big for it; they stay pending.
	Pulled      int  // Versions of other devices that were stored.
	Merged      int  // Conflicts that were merged.
	Quarantined int  // Documents newly put into quarantine.
	Generation  int  // Of the server, as far as pulled: for Notify.
	Renewed     bool // The store was an old copy and has a new replica uid.
}

// rounds bounds the exchanges of one Sync: merges and changes made meanwhile
// go out in a further one, and a server may answer with a part at a time.
const rounds = 100

// Sync exchanges changes with r until nothing is left to send. It may be
// repeated after any error: problem.Unavailable is the network's,
// problem.Unauthenticated the token's, problem.Limit a quota that is used up
// or a document that is too big (everything else was exchanged, and
// Result.Refused says how many documents were left out); ErrRollback and ErrAccount need a
// decision. Progress is durable as it is made. One Sync runs at a time.
func (s *Store) Sync(ctx context.Context, r *Remote, k *Keyring) (Result, error) {
	select {
	case s.syncer <- struct{}{}:
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
	defer func() { <-s.syncer }()
	e := &exchange{s: s, r: r, k: k}
	if err := e.identify(ctx); err != nil {
		return e.res, err
	}
	for range rounds {
		again, err := e.round(ctx)
		e.res.Refused = len(e.refused.ids)
		if err != nil {
			return e.res, err
		}
		if !again {
			break
		}
	}
	return e.res, e.refused.err()
}

// An exchange is the state of one Sync.
type exchange struct {
	s   *Store
	r   *Remote
	k   *Keyring
	res Result

	refused refusals

	// Of the present round:
	replica string // Ours.
	target  string // The server's; "" until it is made.
	known   point  // What we have of the server.
	own     point  // The newest point of our log when the round began.
	header  u1db.SyncHeader
	pushed  int // What the server has of our log.
}

// identify checks that store, remote and keyring belong together, and merges
// what an earlier exchange left over.
func (e *exchange) identify(ctx context.Context) error {
	return e.s.Update(ctx, func(tx *Tx) error {
		user, account, version := "", "", 0
		if err := errors.Join(tx.meta(metaUser, &user), tx.meta(metaAccount, &account), tx.meta(metaKeyring, &version)); err != nil {
			return err
		}
		id := envelope.DocID(e.k.id, "account")
		if user != "" && (user != e.r.user || account != id) {
			return ErrAccount
		}
		if e.k.version < version {
			return fmt.Errorf("keyring of version %d after %d: %w", e.k.version, version, ErrRollback)
		}
		if err := errors.Join(tx.setMeta(metaUser, e.r.user), tx.setMeta(metaAccount, id), tx.setMeta(metaKeyring, e.k.version)); err != nil {
			return err
		}
		n, err := tx.mergeConflicts()
		e.res.Merged += n
		return err
	})
}

// round is one U1DB synchronisation, leap-protocols.md 7.4. It reports whether
// there is something left to send.
func (e *exchange) round(ctx context.Context) (again bool, err error) {
	info, err := e.start(ctx)
	if err != nil {
		return false, err
	}
	pushed, pushErr := e.push(ctx, info.SourceGeneration)
	if pushErr != nil && !errors.Is(pushErr, problem.Limit) {
		return false, pushErr
	}
	res := u1db.SyncResult{NewGeneration: e.known.gen, NewTransactionID: e.known.trans}
	if pushed > info.SourceGeneration || info.TargetGeneration > e.known.gen || e.target == "" {
		if res, err = e.pull(ctx); err != nil {
			return false, errors.Join(pushErr, err)
		}
	}
	if err := e.retryQuarantine(ctx); err != nil {
		return false, errors.Join(pushErr, err)
	}
	done, again, err := e.finish(ctx, res, pushed)
	if err != nil || pushErr != nil {
		return false, errors.Join(pushErr, err)
	}
	again = again || res.NewGeneration < info.TargetGeneration
	if !again && done.gen > pushed && len(e.refused.ids) == 0 {
		if err := e.r.syncDone(ctx, e.replica, done); err != nil {
			return false, err
		}
		if err := e.s.setPushed(ctx, done.gen); err != nil {
			return false, err
		}
	}
	return again, e.sweep(ctx)
}

// start asks the server where it stands and compares that with what is known.
func (e *exchange) start(ctx context.Context) (u1db.SyncInfo, error) {
	info, err := e.begin(ctx)
	if err != nil {
		return info, err
	}
	old, err := e.compare(ctx, info)
	if err != nil || !old {
		return info, err
	}
	// Client.md 4.5, rule C: the server knows more of us than we do.
	if err := e.s.renew(ctx); err != nil {
		return info, err
	}
	e.res.Renewed = true
	if info, err = e.begin(ctx); err != nil {
		return info, err
	}
	if info.SourceGeneration != 0 {
		return info, fmt.Errorf("the server knows generation %d of a new replica: %w", info.SourceGeneration, ErrRollback)
	}
	return info, nil
}

// begin prepares a round and gets the server's state.
func (e *exchange) begin(ctx context.Context) (info u1db.SyncInfo, err error) {
	e.replica = e.s.Replica()
	err = e.s.Update(ctx, func(tx *Tx) error {
		e.own, err = tx.chain(e.k, e.r.user)
		return errors.Join(err, tx.meta(metaTarget, &e.target), tx.meta(metaKnownGen, &e.known.gen), tx.meta(metaKnownTrans, &e.known.trans))
	})
	if err != nil {
		return info, err
	}
	syncID, err := u1db.NewReplica(rand.Reader)
	if err != nil {
		return info, err
	}
	e.header = u1db.SyncHeader{LastKnownGeneration: e.known.gen, LastKnownTransID: e.known.trans, SyncID: syncID}
	info, err = e.r.syncInfo(ctx, e.replica)
	if errors.Is(err, problem.NotExist) && e.target == "" {
		e.header.Ensure = true
		return info, nil
	}
	return info, err
}

// compare checks the server's state against what we know. It reports whether
// the server knows a log of ours that we do not have.
func (e *exchange) compare(ctx context.Context, info u1db.SyncInfo) (old bool, err error) {
	if e.header.Ensure {
		return false, nil
	}
	var mine point
	pushed := 0
	err = e.s.View(ctx, func(tx *Tx) error {
		mine, err = tx.at(info.SourceGeneration)
		return errors.Join(err, tx.meta(metaPushed, &pushed))
	})
	switch {
	case err != nil:
		return false, err
	case info.SourceGeneration > e.own.gen, mine.trans != info.SourceTransID:
		return true, nil
	case e.target != "" && info.TargetReplica != e.target:
		return false, fmt.Errorf("another database is in place of the one known: %w", ErrRollback)
	case info.TargetGeneration < e.known.gen, info.TargetGeneration == e.known.gen && info.TargetTransID != e.known.trans:
		return false, fmt.Errorf("the server is at generation %d, it was at %d: %w", info.TargetGeneration, e.known.gen, ErrRollback)
	case info.SourceGeneration < pushed:
		return false, fmt.Errorf("the server knows our generation %d, it knew %d: %w", info.SourceGeneration, pushed, ErrRollback)
	}
	e.target = info.TargetReplica
	return false, nil
}

// finish records a complete pull. It returns the point of our log that the
// server has seen all of, if there is nothing left to send.
func (e *exchange) finish(ctx context.Context, res u1db.SyncResult, pushed int) (done point, again bool, err error) {
	if res.ReplicaUID != "" {
		e.target = res.ReplicaUID
	}
	err = e.s.Update(ctx, func(tx *Tx) error {
		if err := tx.acknowledge(e.k, pushed); err != nil {
			return err
		}
		if done, err = tx.chain(e.k, e.r.user); err != nil {
			return err
		}
		if again, err = e.unsentSince(tx, pushed); err != nil {
			return err
		}
		if len(e.refused.ids) == 0 { // Else what was refused is still to be sent.
			if err := tx.setMeta(metaResend, 0); err != nil {
				return err
			}
		}
		return errors.Join(tx.setMeta(metaTarget, e.target), tx.setMeta(metaKnownGen, res.NewGeneration),
			tx.setMeta(metaKnownTrans, res.NewTransactionID))
	})
	e.res.Generation = res.NewGeneration
	return done, again, err
}
