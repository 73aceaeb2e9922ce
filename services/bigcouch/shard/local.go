package shard

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"leap.example/services/bigcouch/store"
)

// How much goes into one commit, and how much may wait for the next.
const (
	batchEntries = 256
	batchBytes   = 4 << 20
	queueEntries = 256
)

// Local is the Log of a node by itself. One goroutine for each shard takes
// what has queued, applies it to one batch, commits that with one sync, and
// answers all; while it syncs the next lot queues.
type Local struct {
	store  *store.Store
	queues []chan *proposal
	done   chan struct{} // Closed when Run has ended.
}

var _ Log = (*Local)(nil)

type proposal struct {
	ctx   context.Context
	entry store.Entry
	reply chan reply // Has room for one.
}

type reply struct {
	index  uint64
	result store.Result
	err    error
}

// NewLocal returns the log of a store with so many shards, numbered from 0.
// The caller runs Run.
func NewLocal(s *store.Store, shards int) *Local {
	l := &Local{store: s, queues: make([]chan *proposal, shards), done: make(chan struct{})}
	for i := range l.queues {
		l.queues[i] = make(chan *proposal, queueEntries)
	}
	return l
}

// Run applies entries until ctx is done. What is waiting then is not
// applied. An error means that the store failed.
func (l *Local) Run(ctx context.Context) error {
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for i := range l.queues {
		wg.Go(func() {
			if err := l.apply(ctx, uint16(i)); err != nil {
				cancel(fmt.Errorf("shard %d: %w", i, err))
			}
		})
	}
	wg.Wait()
	close(l.done)
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// Propose implements Log.
func (l *Local) Propose(ctx context.Context, shard uint16, e store.Entry) (uint64, store.Result, error) {
	p := &proposal{ctx, e, make(chan reply, 1)}
	select {
	case l.queues[shard] <- p:
	case <-ctx.Done():
		return 0, store.Result{}, context.Cause(ctx)
	case <-l.done:
		return 0, store.Result{}, ErrStopped
	}
	select {
	case r := <-p.reply:
		return r.index, r.result, r.err
	case <-ctx.Done():
		return 0, store.Result{}, context.Cause(ctx)
	case <-l.done:
	}
	select {
	case r := <-p.reply: // Answered in the last moment.
		return r.index, r.result, r.err
	default:
		return 0, store.Result{}, ErrStopped
	}
}

// Barrier implements Log: here an entry is visible before it is acknowledged.
func (l *Local) Barrier(ctx context.Context, _ uint16) error { return context.Cause(ctx) }

// apply is the goroutine that owns a shard.
func (l *Local) apply(ctx context.Context, shard uint16) error {
	queue := l.queues[shard]
	for {
		var first *proposal
		select {
		case first = <-queue:
		case <-ctx.Done():
			return nil
		}
		lot := gather(queue, first)
		replies, err := l.commit(shard, lot)
		for i, p := range lot {
			if err != nil {
				p.reply <- reply{err: err}
			} else {
				p.reply <- replies[i]
			}
		}
		if err != nil {
			return err
		}
	}
}

// gather takes what else has queued, up to the limits of a batch.
func gather(queue <-chan *proposal, first *proposal) []*proposal {
	lot := []*proposal{first}
	size := first.entry.Size()
	for len(lot) < batchEntries && size < batchBytes {
		select {
		case p := <-queue:
			lot = append(lot, p)
			size += p.entry.Size()
		default:
			return lot
		}
	}
	return lot
}

// commit applies a lot and makes it durable. An error is that of all of it.
func (l *Local) commit(shard uint16, lot []*proposal) ([]reply, error) {
	b, err := l.store.Batch(shard)
	if err != nil {
		return nil, err
	}
	replies := make([]reply, len(lot))
	for i, p := range lot {
		if err := context.Cause(p.ctx); err != nil { // Nobody waits for it any more.
			replies[i].err = err
			continue
		}
		r := &replies[i]
		r.index = b.Head().Index + 1
		if r.result, err = b.Apply(store.Position{Index: r.index}, p.entry); err != nil {
			return nil, fmt.Errorf("applying: %w", errors.Join(err, b.Close()))
		}
	}
	return replies, b.Commit(true)
}
