package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"leap.example/tests/couchfaults/lab"
)

// A fault is one kind of mishap.
type fault struct {
	name  string
	nodes int // It needs at least so many.
	do    func(context.Context, *round) error
	foul  bool // It needs the program for machines that misbehave.
	slow  bool // It takes too long for brief rounds.
}

// faults are all that are tried. After each one the network is healed and nodes
// that are down are started.
var faults = []fault{
	{name: "kill-one", nodes: 1, do: killOne},
	{name: "kill-leader", nodes: 1, do: killLeader},
	{name: "kill-all", nodes: 1, do: killAll},
	{name: "stop-one", nodes: 1, do: stopOne},
	{name: "pause-one", nodes: 1, do: pauseOne},
	{name: "disk-low", nodes: 2, do: diskLow},
	{name: "disk-full", nodes: 1, do: diskFull},
	{name: "slow-disk", nodes: 1, do: slowDisk, foul: true},
	{name: "clock-jumps", nodes: 1, do: clockJumps, foul: true},
	{name: "partition", nodes: 3, do: partition},
	{name: "flicker", nodes: 3, do: flicker},
	{name: "slow-network", nodes: 3, do: slowNetwork},
	{name: "flip-bits", nodes: 3, do: flipBits},
	{name: "wipe", nodes: 3, do: wipe},
	{name: "far-behind", nodes: 3, do: farBehind, slow: true},
	{name: "freeze-sender", nodes: 3, do: freezeSender, slow: true},
	{name: "two-at-once", nodes: 3, do: twoAtOnce},
	{name: "move", nodes: 4, do: move},
}

// hold waits for about as long as a fault lasts.
func (r *round) hold(ctx context.Context) {
	span := time.Second + time.Duration(r.rng.Int64N(int64(3*time.Second)))
	if r.brief {
		span /= 6
	}
	wait(ctx, span)
}

// moment waits for a part of a second, so that faults meet every state.
func (r *round) moment(ctx context.Context) {
	wait(ctx, time.Duration(r.rng.Int64N(int64(300*time.Millisecond))))
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// any returns one of the nodes.
func (r *round) any() int { return r.rng.IntN(len(r.lab.Nodes)) }

// down kills a node for a while.
func (r *round) down(ctx context.Context, i int) error {
	n := r.lab.Nodes[i]
	n.Kill()
	r.hold(ctx)
	if err := n.Launch(); err != nil {
		return err
	}
	return n.Ready(ctx)
}

func killOne(ctx context.Context, r *round) error { return r.down(ctx, r.any()) }

// killLeader kills the node that orders the writes, and measures how long
// there are none.
func killLeader(ctx context.Context, r *round) error {
	i, err := r.leader(ctx)
	if err != nil {
		return err
	}
	from := r.load.Log.Now()
	if err := r.down(ctx, i); err != nil {
		return err
	}
	if err := r.progress(ctx, "after the leader's death"); err != nil {
		return err
	}
	r.gap = r.load.Log.Gap(from, min(r.load.Log.Now(), from+20*time.Second))
	return nil
}

// killAll kills all nodes at once, perhaps twice: the second time while they
// start.
func killAll(ctx context.Context, r *round) error {
	for range 1 + r.rng.IntN(2) {
		for _, n := range r.lab.Nodes {
			n.Kill()
		}
		for _, n := range r.lab.Nodes {
			if err := n.Launch(); err != nil {
				return err
			}
		}
		r.moment(ctx)
	}
	return r.lab.Ready(ctx)
}

// stopOne stops a node as for an update.
func stopOne(ctx context.Context, r *round) error {
	n := r.lab.Nodes[r.any()]
	if err := n.Stop(ctx); err != nil {
		return err
	}
	r.hold(ctx)
	if err := n.Launch(); err != nil {
		return err
	}
	return n.Ready(ctx)
}

// leaderOrAny returns the leader as often as any node.
func (r *round) leaderOrAny(ctx context.Context) (int, error) {
	if r.rng.IntN(2) == 0 {
		return r.leader(ctx)
	}
	return r.any(), nil
}

// pauseOne freezes a node for longer than an election takes.
func pauseOne(ctx context.Context, r *round) error {
	i, err := r.leaderOrAny(ctx)
	if err != nil {
		return err
	}
	r.lab.Nodes[i].Pause()
	r.hold(ctx)
	r.lab.Nodes[i].Resume()
	return nil
}

// twoAtOnce kills one node and cuts off another: of three, writes must wait.
func twoAtOnce(ctx context.Context, r *round) error {
	i := r.any()
	j := (i + 1 + r.rng.IntN(len(r.lab.Nodes)-1)) % len(r.lab.Nodes)
	r.lab.Partition(func(a, b int) bool { return a == b || a != j && b != j }, r.rng.IntN(2) == 0)
	r.moment(ctx)
	r.lab.Nodes[i].Kill()
	r.hold(ctx)
	return r.lab.Nodes[i].Launch()
}

// leader returns the node that orders the writes of the round's database.
func (r *round) leader(ctx context.Context) (i int, err error) {
	if r.nodes == 1 {
		return 0, nil
	}
	err = lab.Poll(ctx, "a leader", r.patience(), func() error {
		name, err := r.audit.Busy(ctx)
		if err != nil {
			return err
		}
		i = slices.IndexFunc(r.lab.Nodes, func(n *lab.Node) bool { return n.Name == name })
		if i < 0 {
			return errors.New("no node is called " + name)
		}
		return nil
	})
	return i, err
}
