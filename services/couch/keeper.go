package couch

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	rotateEvery  = time.Hour
	firstRetry   = time.Second
	lastRetry    = 30 * time.Second
	keeperBudget = 5 * time.Minute // For one Setup or Rotate.
)

// A Keeper is the service that makes the databases what they have to be and
// rotates them. Its DB must be that of a server administrator.
type Keeper struct {
	db  *DB
	log *slog.Logger

	mu   sync.Mutex // Guards what follows.
	done bool       // Setup has succeeded.
	err  error      // Of the last Rotate.
}

// NewKeeper returns a Keeper for db, which it does not close.
func NewKeeper(db *DB, log *slog.Logger) *Keeper { return &Keeper{db: db, log: log} }

// Run does Setup until it succeeds, and then Rotate every hour, until ctx is
// done. A database that is away is waited for.
func (k *Keeper) Run(ctx context.Context) error {
	step, wait := k.db.Setup, firstRetry
	for {
		budget, cancel := context.WithTimeout(ctx, keeperBudget)
		err := step(budget)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		k.note(err)
		pause := rotateEvery
		if err != nil {
			k.log.Warn("the databases are not in order yet", "err", err, "again_in", wait)
			pause, wait = wait/2+rand.N(wait), min(2*wait, lastRetry)
		} else {
			wait = firstRetry
			step = func(ctx context.Context) error { return k.db.Rotate(ctx, k.db.now()) }
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (k *Keeper) note(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.done, k.err = k.done || err == nil, err
}

// Check reports whether the databases are set up and rotated.
func (k *Keeper) Check(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.done && k.err == nil {
		return errors.New("the databases are not set up yet")
	}
	return k.err
}
