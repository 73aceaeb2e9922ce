package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"leap.example/tests/couchfaults/audit"
	"leap.example/tests/couchfaults/history"
	"leap.example/tests/couchfaults/lab"
	"leap.example/tests/couchfaults/load"
)

// judge compares what clients were told with what is there.
func (r *round) judge(ctx context.Context, feed *load.Follower) error {
	ops := r.load.Log.Ops()
	r.count(ops)
	r.broken, r.differ = false, false
	if err := explained(ops); err != nil {
		r.broken = true
		return err
	}
	if r.nodes > 1 {
		if err := r.placed(ctx); err != nil {
			return err
		}
		if _, err := r.audit.Replicas(ctx, len(r.lab.Voters(0)), r.patience()); err != nil {
			r.differ = true
			return err
		}
	}
	err := r.audit.Still(ctx, r.name, func() error { return r.held(ctx, feed, ops) })
	if lost, ok := errors.AsType[*audit.LostError](err); ok {
		r.lost = len(lost.Ops)
	}
	if err != nil || !r.laws {
		return err
	}
	return r.audit.Ruled(ctx, r.name, history.Strictest(ops), r.patience())
}

// held compares what clients were told with what the nodes hold and show.
func (r *round) held(ctx context.Context, feed *load.Follower, ops []history.Op) error {
	h, err := r.audit.Database(ctx, r.name, ops)
	if err != nil {
		return err
	}
	if err := history.Misread(ops, r.load.Log.Lists()); err != nil {
		r.broken = true
		return err
	}
	return r.fed(ctx, feed, h)
}

func (r *round) count(ops []history.Op) {
	r.acknowledged, r.unknown, r.illegal = history.Acknowledged(ops), 0, 0
	for _, op := range ops {
		switch op.Outcome {
		case history.Unknown:
			r.unknown++
		case history.Illegal:
			r.illegal++
		}
	}
}

// explained returns an error unless all answers can be.
func explained(ops []history.Op) error {
	if err := history.Linearizable(ops, time.Minute); err != nil {
		return err
	}
	if made := history.MadeUp(ops); len(made) > 0 {
		return fmt.Errorf("%d reads of what nobody wrote, as %+v", len(made), made[0])
	}
	if wrong := history.Unlawful(ops); len(wrong) > 0 {
		return fmt.Errorf("%d writes were judged by a law that was not in force, as %+v", len(wrong), wrong[0])
	}
	return nil
}

// patience is how long a cluster may take to do what it does by itself.
func (r *round) patience() time.Duration { return time.Minute }

// fed returns when the feed has shown everything, and wants whoever goes on from
// some of its rows to be shown the rest.
func (r *round) fed(ctx context.Context, feed *load.Follower, h audit.Holdings) error {
	err := lab.Poll(ctx, "the feed of changes", cmp.Or(r.feedPatience, 30*time.Second), func() error {
		if missing := feed.Missing(h.Winners); len(missing) > 0 {
			return fmt.Errorf("%d documents are not as the feed says: %s", len(missing), missing[0])
		}
		return nil
	})
	rows, _ := feed.Rows()
	r.rows = len(rows)
	for range 4 {
		if err == nil {
			err = r.audit.Resumed(ctx, r.name, rows, r.rng.IntN(len(rows)), 50+r.rng.IntN(200))
		}
	}
	return err
}
