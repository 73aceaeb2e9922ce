package main

import (
	"context"
	"fmt"

	"leap.example/tests/couchfaults/lab"
)

// move gives every shard other nodes, as a new deployment does: each node in its
// turn is started with the new table. Meanwhile nodes are killed, so that every
// step of the change meets one.
func move(ctx context.Context, r *round) error {
	if err := r.lab.Place(r.lab.Turn() + 1 + r.rng.IntN(len(r.lab.Nodes)-1)); err != nil {
		return err
	}
	for _, i := range r.rng.Perm(len(r.lab.Nodes)) {
		n := r.lab.Nodes[i]
		if r.rng.IntN(2) == 0 {
			if err := n.Stop(ctx); err != nil {
				return err
			}
		} else {
			n.Kill()
		}
		if err := n.Launch(); err != nil {
			return err
		}
		r.moment(ctx)
	}
	for range 3 + r.rng.IntN(4) { // Now it is under way.
		i, err := r.leaderOrAny(ctx)
		if err != nil {
			i = r.any() // There is no leader just now.
		}
		n := r.lab.Nodes[i]
		n.Kill()
		r.moment(ctx)
		if err := n.Launch(); err != nil {
			return err
		}
		r.moment(ctx)
	}
	return nil
}

// placed returns when every shard is where the table wants it.
func (r *round) placed(ctx context.Context) error {
	return lab.Poll(ctx, "shards in their places", r.patience(), func() error {
		if err := r.audit.Placed(ctx, lab.Shards+1); err != nil {
			return fmt.Errorf("placement: %w", err)
		}
		return nil
	})
}
