package main

import (
	"context"
	"time"

	"leap.example/tests/couchfaults/lab"
)

// slowDisk gives a node, perhaps the leader, a disk that takes its time.
func slowDisk(ctx context.Context, r *round) error {
	i, err := r.leaderOrAny(ctx)
	if err != nil {
		return err
	}
	n := r.lab.Nodes[i]
	n.Kill()
	if err := n.LaunchIn(lab.Weather{Sync: r.some(100 * time.Millisecond)}); err != nil {
		return err
	}
	r.hold(ctx)
	if err := n.Change(lab.Weather{Sync: r.some(600 * time.Millisecond)}); err != nil {
		return err
	}
	r.hold(ctx)
	n.Kill()
	return n.Launch()
}

// jump is by how much clocks go wrong: further than answers are kept, and not
// so far that certificates are none.
const jump = 26 * time.Hour

// clockJumps sets the clocks of nodes to other times, while they run and by way
// of a restart.
func clockJumps(ctx context.Context, r *round) error {
	for _, n := range r.lab.Nodes {
		n.Kill()
		if err := n.LaunchIn(lab.Weather{}); err != nil {
			return err
		}
	}
	if err := r.lab.Ready(ctx); err != nil {
		return err
	}
	for range 6 {
		n := r.lab.Nodes[r.any()]
		w := lab.Weather{Clock: []time.Duration{-jump, -time.Minute, 0, time.Minute, 15 * time.Minute, jump}[r.rng.IntN(6)]}
		if err := n.Change(w); err != nil {
			return err
		}
		r.moment(ctx)
		if r.rng.IntN(2) == 0 {
			n.Kill()
			if err := n.LaunchIn(w); err != nil {
				return err
			}
		}
		r.moment(ctx)
	}
	for _, n := range r.lab.Nodes {
		n.Kill()
		if err := n.Launch(); err != nil {
			return err
		}
	}
	return nil
}

// some returns up to d, and more than nothing.
func (r *round) some(d time.Duration) time.Duration {
	return d/10 + time.Duration(r.rng.Int64N(int64(d)))
}
