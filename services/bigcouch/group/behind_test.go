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
// time to who writes through it or wants to read what is fresh: one that was
// removed, and has not been told, never has what it waits for.
func TestDeaf(t *testing.T) {
	t.Parallel()
	c := deaf(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c.runs("a")
	done := make(chan error, 1)
	go func() { done <- c.nodes["a"].set.Barrier(ctx, 1) }()
	if err := c.through(ctx); !errors.Is(err, shard.ErrBehind) {
		t.Errorf("a write: %v", err)
	}
	if err := <-done; !errors.Is(err, shard.ErrBehind) {
		t.Errorf("a fresh read: %v", err)
	}
	if err := c.has("b", "through-a"); err != nil {
		t.Error(err)
	}
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
