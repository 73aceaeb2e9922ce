package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leap.example/services/daemon"
	"leap.example/tests/couchfaults/lab"
)

// small is the size of the last node's own disk, and minFree what every node
// keeps free of its disk.
const (
	small   = 192 << 20
	minFree = 16 << 20
)

// diskLow leaves the last node less space than it wants to keep: it refuses
// writes and goes on serving reads.
func diskLow(ctx context.Context, r *round) error {
	if r.lab.Disk == nil {
		return nil
	}
	n := r.lab.Nodes[r.nodes-1]
	if err := r.lab.Disk.Fill(minFree / 2); err != nil {
		return err
	}
	r.hold(ctx)
	if !n.Running() {
		return fmt.Errorf("node %s has ended for want of space, with %d MiB left", n.Name, minFree/2>>20)
	}
	return r.lab.Disk.Free()
}

// diskFull leaves the last node no space at all: it may end, and it must not
// lie. With space again it starts with all that it acknowledged.
func diskFull(ctx context.Context, r *round) error {
	if r.lab.Disk == nil {
		return nil
	}
	n := r.lab.Nodes[r.nodes-1]
	if err := r.lab.Disk.Fill(0); err != nil {
		return err
	}
	r.hold(ctx)
	if status, over := n.Status(); over {
		r.notes = append(r.notes, fmt.Sprintf("node %s ended with status %d", n.Name, status))
		if status == daemon.ExitStay {
			return fmt.Errorf("node %s takes a full disk for one that a restart cannot help", n.Name)
		}
	}
	if r.rng.IntN(2) == 0 { // Killed, and started again while there is no space.
		n.Kill()
		if err := n.Launch(); err != nil {
			return err
		}
		r.moment(ctx)
	}
	return r.lab.Disk.Free()
}

// flipBits damages the files of a node that is down. It must notice and stop
// before it serves anything wrong, or the damage be in dead bytes. Then its disk
// is replaced.
func flipBits(ctx context.Context, r *round) error {
	n := r.lab.Nodes[r.any()]
	n.Kill()
	if r.rng.IntN(2) == 0 { // A start turns its log into tables.
		if err := errors.Join(n.Launch(), n.Ready(ctx)); err != nil {
			return err
		}
		n.Kill()
	}
	where, err := n.FlipAny(r.rng, 1)
	if err != nil {
		return err
	}
	if err := n.Launch(); err != nil {
		return err
	}
	r.hold(ctx)
	if n.Ready(ctx) == nil {
		r.audit.Scrub(ctx, n.URL, r.patience()) // Whatever it answers: the node ends when it finds damage.
	}
	status, err := n.Wait(ctx, 3*time.Second)
	if err != nil && n.Marked() { // It has noticed: it is ending.
		status, err = n.Wait(ctx, 30*time.Second)
		if err != nil {
			return fmt.Errorf("%s flipped and noticed: %w", where, err)
		}
	}
	if err != nil {
		r.spoiled = n
		r.harmless++
		r.notes = append(r.notes, where+" flipped unnoticed")
		return nil // The judgement is whether anything is wrong.
	}
	if status != daemon.ExitStay {
		return fmt.Errorf("%s flipped: status %d, want %d", where, status, daemon.ExitStay)
	}
	r.detected++
	r.notes = append(r.notes, where+" flipped and noticed")
	return r.replace(n)
}

// noticed replaces the disk of a node that has found its flipped bit later than
// it was looked for: in what is no document, by a compaction. It reports whether
// there was one.
func (r *round) noticed(ctx context.Context) (bool, error) {
	n := r.spoiled
	if n == nil || !n.Marked() {
		return false, nil
	}
	r.spoiled = nil
	status, err := n.Wait(ctx, 30*time.Second)
	if err != nil || status != daemon.ExitStay {
		return true, fmt.Errorf("a flipped bit noticed late: status %d, want %d: %w", status, daemon.ExitStay, err)
	}
	r.harmless--
	r.detected++
	r.notes = append(r.notes, "noticed late")
	return true, r.replace(n)
}

// unspoil replaces the disk of a node whose flipped bit nobody has noticed.
func (r *round) unspoil(ctx context.Context) error {
	if r.spoiled == nil {
		return nil
	}
	r.spoiled.Kill()
	if err := r.replace(r.spoiled); err != nil {
		return err
	}
	return r.lab.Start(ctx)
}

// replace gives a node that is down an empty disk.
func (r *round) replace(n *lab.Node) error {
	if err := n.Wipe(); err != nil {
		return err
	}
	return n.Launch()
}

// wipe takes a node's disk away under load.
func wipe(ctx context.Context, r *round) error {
	n := r.lab.Nodes[r.any()]
	n.Kill()
	r.moment(ctx)
	return r.replace(n)
}

// farBehind keeps a node away until the others have dropped from their logs what
// it lacks, and has it come back while writes go on.
func farBehind(ctx context.Context, r *round) error {
	n := r.lab.Nodes[r.any()]
	n.Kill()
	if err := r.left(ctx); err != nil {
		return err
	}
	if err := n.Launch(); err != nil {
		return err
	}
	r.moment(ctx)
	if r.rng.IntN(2) == 0 { // In the middle of the stream, perhaps.
		n.Kill()
		return n.Launch()
	}
	return nil
}
