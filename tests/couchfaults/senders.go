package main

import (
	"context"
	"fmt"
	"time"

	"leap.example/tests/couchfaults/history"
	"leap.example/tests/couchfaults/lab"
)

// left waits until the others have dropped from their logs what a node lacks
// that is away from now on. Each part of the database has a log.
func (r *round) left(ctx context.Context) error {
	start := history.Answered(r.load.Log.Ops())
	err := lab.Poll(ctx, "a log to be trimmed", time.Duration(r.parts)*time.Minute, func() error {
		if done := history.Answered(r.load.Log.Ops()) - start; done < r.parts*(lab.Trimmed+200) {
			return fmt.Errorf("%d writes", done)
		}
		return nil
	})
	wait(ctx, lab.TrimPause)
	return err
}

// freezeSender has the leader send all it has to a node that was away, and
// freezes it in the middle of that: writes must go on without it, by the help of
// the one that was receiving.
func freezeSender(ctx context.Context, r *round) error {
	i, err := r.leader(ctx)
	if err != nil {
		return err
	}
	j := (i + 1 + r.rng.IntN(r.nodes-1)) % r.nodes
	away := r.lab.Nodes[j]
	away.Kill()
	if err := r.left(ctx); err != nil {
		return err
	}
	if i, err = r.leader(ctx); err != nil {
		return err
	}
	r.lab.Delay(20 * time.Millisecond)
	if err := away.Launch(); err != nil {
		return err
	}
	caught := false
	for deadline := time.Now().Add(10 * time.Second); !caught && ctx.Err() == nil && time.Now().Before(deadline); {
		if caught, err = away.Receives(); err != nil {
			return err
		}
		wait(ctx, time.Millisecond)
	}
	if i == j || !caught {
		r.notes = append(r.notes, "nothing was on its way")
		return nil
	}
	sender := r.lab.Nodes[i]
	sender.Pause()
	defer sender.Resume()
	r.lab.Delay(0)
	return r.progress(ctx, "while the sender is frozen")
}
