package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// A shape says who reaches whom, of so many nodes with that leader.
type shape struct {
	name  string
	reach func(rng *rand.Rand, nodes, leader int) func(a, b int) bool
}

// shapes are the partitions. In each of them some majority can talk, so that
// writes go on somewhere, or soon will.
var shapes = []shape{
	{"halves", func(rng *rand.Rand, nodes, _ int) func(a, b int) bool {
		side := rng.Perm(nodes)
		return func(a, b int) bool { return (side[a] < nodes/2) == (side[b] < nodes/2) }
	}},
	{"isolated leader", func(_ *rand.Rand, _, leader int) func(a, b int) bool {
		return func(a, b int) bool { return a == b || a != leader && b != leader }
	}},
	{"deaf leader", func(_ *rand.Rand, _, leader int) func(a, b int) bool {
		return func(_, b int) bool { return b != leader }
	}},
	{"mute leader", func(_ *rand.Rand, _, leader int) func(a, b int) bool {
		return func(a, _ int) bool { return a != leader }
	}},
	{"bridge", func(rng *rand.Rand, nodes, _ int) func(a, b int) bool { // One sees all, the others only their half.
		side := rng.Perm(nodes)
		return func(a, b int) bool {
			return side[a] == 0 || side[b] == 0 || side[a]%2 == side[b]%2
		}
	}},
	{"ring", func(rng *rand.Rand, nodes, _ int) func(a, b int) bool { // Each reaches the next one and the one before.
		at := rng.Perm(nodes)
		return func(a, b int) bool {
			d := (at[a] - at[b] + nodes) % nodes
			return d == 0 || d == 1 || d == nodes-1
		}
	}},
	{"one way", func(rng *rand.Rand, nodes, _ int) func(a, b int) bool {
		at := rng.Perm(nodes)
		return func(a, b int) bool { return a != at[0] || b != at[1] }
	}},
	{"anything", func(rng *rand.Rand, nodes, _ int) func(a, b int) bool {
		cut := make([]bool, nodes*nodes)
		for i := range cut {
			cut[i] = rng.IntN(3) == 0
		}
		return func(a, b int) bool { return a == b || !cut[a*nodes+b] }
	}},
}

// partition cuts the network, in one shape after another.
func partition(ctx context.Context, r *round) error {
	for range 1 + r.rng.IntN(2) {
		leader, err := r.leader(ctx)
		if err != nil {
			return err
		}
		s := shapes[r.rng.IntN(len(shapes))]
		if !slices.Contains(r.notes, s.name) {
			r.notes = append(r.notes, s.name)
		}
		r.lab.Partition(s.reach(r.rng, r.nodes, leader), r.rng.IntN(2) == 0)
		r.hold(ctx)
	}
	return nil
}

// flicker cuts the network and heals it, faster than elections end.
func flicker(ctx context.Context, r *round) error {
	for range 6 {
		s := shapes[r.rng.IntN(len(shapes))]
		r.lab.Partition(s.reach(r.rng, r.nodes, r.any()), r.rng.IntN(2) == 0)
		r.moment(ctx)
		r.lab.Heal()
		r.moment(ctx)
	}
	return nil
}

// slowNetwork makes packets take as long as between continents.
func slowNetwork(ctx context.Context, r *round) error {
	r.lab.Delay(20*time.Millisecond + time.Duration(r.rng.Int64N(int64(100*time.Millisecond))))
	r.hold(ctx)
	return nil
}
