package group_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"leap.example/services/bigcouch/shard"
	"leap.example/services/bigcouch/store"
)

// deaf returns a cluster whose node a is a follower that its leader does not
// reach, though it reaches the leader.
func deaf(t *testing.T) *cluster {
	c := newCluster(t, abc(), "a", "b", "c")
	c.heartbeat = 5 * beat // Or a leads, when they lose each other on a busy machine.
	c.start("a", "b", "c")
	c.open("a")
	c.write("a", "d")
	c.equal("a", 3)
	for _, n := range c.names {
		c.stop(n)
	}
	real := c.addrs["a"]
	c.addrs["a"] = "127.0.0.1:1" // Where nobody is.
	c.start("b", "c")
	c.write("b", "unheard") // They have a leader, and give a no vote.
	c.addrs["a"] = real
	c.start("a")
	return c
}

// through writes a document through a.
func (c *cluster) through(ctx context.Context) error {
	docs := []store.Doc{{ID: "through-a", Body: []byte("{}")}}
	_, _, err := c.nodes["a"].set.Propose(ctx, 1, store.Entry{Cmd: store.WriteDocs{DB: dbID, RevsLimit: 10, Docs: docs}})
	return err
}

// A replica that hears nothing of its leader, and does not know why, says so in
// time to who wants to read what is fresh: one that was removed, and has not been
// told, never has what it waits for. Who writes through it hears what came of it,
// and then reads where it is: not here, as long as another node can be asked.
func TestDeaf(t *testing.T) {
	t.Parallel()
	c := deaf(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c.runs("a")
	a := c.nodes["a"].set
	done := make(chan error, 1)
	go func() { done <- a.Barrier(ctx, 1) }()
	c.eventually("a write", func() error { return c.through(ctx) })
	if a.Ready(1) || !a.Owes(1) {
		t.Error("what was written is read where it is not")
	}
	c.eventually("it is read where it is", func() error {
		node, err := a.Holder(ctx, 1)
		if err != nil {
			return err
		}
		return c.has(node, "through-a")
	})
	if err := <-done; !errors.Is(err, shard.ErrBehind) && !errors.Is(err, shard.ErrNoMajority) {
		t.Errorf("a fresh read: %v", err)
	}
	c.eventually("a second write", func() error { return c.through(ctx) })
	c.eventually("a has had its time, and is late", func() error {
		if a.Ready(1) || !a.Late(1) {
			return errors.New("not yet")
		}
		return nil
	})
	c.stop("b")
	c.stop("c")
	c.eventually("what there is is read", func() error {
		if !a.Ready(1) || a.Late(1) {
			return errors.New("not yet")
		}
		return nil
	})
}

// Who waits for a replica that is closed waits no longer.
func TestClosedWhileWaiting(t *testing.T) {
	t.Parallel()
	c := deaf(t)
	done := make(chan error, 1)
	go func() { done <- c.through(t.Context()) }()
	c.eventually("the write is done", func() error { return c.has("b", "through-a") })
	c.stop("a")
	if err := <-done; err != nil && !errors.Is(err, shard.ErrStopped) {
		t.Errorf("a write that is done: %v", err)
	}
}
