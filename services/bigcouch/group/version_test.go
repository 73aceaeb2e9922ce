package group_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"leap.example/services/bigcouch/group"
	"leap.example/services/bigcouch/store"
)

// limit makes a node, when it is started next, one that knows versions of entries
// up to one; 0: all.
func (c *cluster) limit(name string, version int) {
	before := c.options
	c.options = func(node string) store.Options {
		o := before(node)
		if node == name {
			o.EntryVersion = version
		}
		return o
	}
}

// at returns nil when a node has seen a shard come to a version.
func (c *cluster) at(name string, shardNo uint16, version uint64) error {
	if got := c.nodes[name].set.Version(shardNo); got != version {
		return fmt.Errorf("%s sees shard %d at version %d", name, shardNo, got)
	}
	return nil
}

// judged is a write that needs version 2.
func judged(id string) store.WriteDocs {
	return store.WriteDocs{DB: dbID, RevsLimit: 10, Judged: 1, Docs: []store.Doc{{ID: id, Body: []byte(`{}`)}}}
}

// While one node is of an older release, whoever leads, nothing is entered that
// it does not know, clocks that jump make no copies differ, and the version stays
// what it was. When it has been updated the version rises.
func TestMixedReleases(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c")
	c.limit("c", 1)
	c.start("a", "b", "c")
	c.open("b")
	clock := func(id string, ahead time.Duration) {
		t.Helper()
		c.eventually("writing "+id, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, r, err := c.nodes["a"].set.Propose(ctx, 1, store.Entry{Time: time.Now().Add(ahead).UnixMilli(), Cmd: store.WriteDocs{
				DB: dbID, RevsLimit: 10, Docs: []store.Doc{{ID: id, Body: []byte(`{}`)}},
			}})
			return errors.Join(err, errOf(r.Err))
		})
	}
	for i, name := range c.names {
		c.write(name, fmt.Sprintf("old%d", i))
		clock(fmt.Sprintf("ahead%d", i), time.Duration(i)*1000*time.Hour)
		c.stop(name)
		other := c.names[(i+1)%3]
		c.write(other, fmt.Sprintf("without%d", i))
		c.start(name)
	}
	c.equal("a", 3)
	if _, err := c.propose("a", 1, judged("early")); !errors.Is(err, group.ErrOlder) {
		t.Errorf("what the group does not know: %v", err)
	}
	for _, name := range c.names {
		for shardNo := range uint16(2) {
			if err := c.at(name, shardNo, 1); err != nil {
				t.Error(err)
			}
		}
	}
	c.stop("c")
	c.write("a", "still")
	c.limit("c", 0)
	c.start("c")
	for _, name := range c.names {
		for shardNo := range uint16(2) {
			c.eventually("raising the version", func() error { return c.at(name, shardNo, store.EntryVersion) })
		}
	}
	for i, name := range c.names {
		clock(fmt.Sprintf("later%d", i), time.Duration(i)*1000*time.Hour)
		if r, err := c.propose(name, 1, judged("new"+name)); err != nil || r.Err != nil {
			t.Errorf("on %s: %+v, %v", name, r, err)
		}
	}
	c.equal("b", 3)

	// There is no way back: an older release stops, and says why.
	c.stop("c")
	c.limit("c", 1)
	c.start("c")
	c.ends("c", store.ErrVersion)
}

func errOf(r *store.Refusal) error {
	if r == nil {
		return nil
	}
	return r
}

// An older release that meets the later version ends, whether it comes by the log
// or with the whole state, and has applied nothing of it.
func TestOlderReleaseEnds(t *testing.T) {
	t.Parallel()
	for name, far := range map[string]bool{"by the log": false, "by the state": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, abc(), "a", "b", "c")
			c.trailing, c.threshold = 10, 20
			c.limit("c", 1)
			c.start("a", "b", "c")
			c.open("a")
			c.write("a", "first")
			c.equal("a", 3)
			c.stop("c")
			n := c.nodes["c"]
			before := n.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
			c.limit("c", 0)
			c.start("c")
			c.eventually("raising the version", func() error { return c.at("a", 1, store.EntryVersion) })
			c.stop("c")
			c.write("a", "second")
			if far {
				for i := range 120 {
					c.write("b", fmt.Sprintf("d%d", i))
				}
			}
			now := n.fs
			n.fs = before
			c.limit("c", 1)
			c.start("c")
			c.ends("c", store.ErrVersion)
			if err := c.has("c", "second"); !far && err == nil {
				t.Error("an entry behind the version was applied")
			}
			c.stop("c")
			n.fs = now
			c.limit("c", 0)
			c.start("c")
			c.eventually("catching up", func() error { return c.has("c", "second") })
			c.equal("a", 3)
		})
	}
}

// ends waits until a node ends with an error.
func (c *cluster) ends(name string, want error) {
	c.t.Helper()
	n := c.nodes[name]
	c.eventually("the end of "+name, func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		if !errors.Is(n.ended, want) {
			return fmt.Errorf("it ended with %v", n.ended)
		}
		return nil
	})
}
