package group_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"leap.example/services/bigcouch/group"
	"leap.example/services/bigcouch/store"
)

// Power cuts of one node, of the leader, of all at once: nothing acknowledged
// is lost, and all replicas end up the same.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c")
	c.trailing, c.threshold = 20, 40
	c.start("a", "b", "c")
	c.open("a")
	written := 0
	for round := range 6 {
		for range 25 {
			c.write(c.names[written%3], fmt.Sprintf("d%04d", written))
			written++
		}
		down := slices.Clone(c.names)
		if round%3 != 2 {
			down = []string{c.names[rand.IntN(3)]}
		}
		for _, n := range down {
			c.crash(n, rand.IntN(101))
		}
		c.start(down...)
	}
	c.write("a", "last")
	c.equal("a", 3)
	for _, n := range c.names {
		for i := range written {
			if err := c.has(n, fmt.Sprintf("d%04d", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A follower that was away for longer than the log reaches back gets the state,
// while writes go on.
func TestFarBehind(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c")
	c.trailing, c.threshold = 10, 20
	c.start("a", "b", "c")
	c.open("a")
	c.write("a", "first")
	c.stop("c")
	for i := range 120 {
		c.write("a", fmt.Sprintf("d%d", i))
	}
	c.trimmed("a")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 100 {
			c.write("b", fmt.Sprintf("more%d", i))
		}
	}()
	c.start("c")
	<-done
	c.equal("a", 3)
	if err := errors.Join(c.has("c", "first"), c.has("c", "d119"), c.has("c", "more99")); err != nil {
		t.Error(err)
	}
}

// trimmed waits until the log of shard 1 on a node begins late.
func (c *cluster) trimmed(on string) {
	c.t.Helper()
	c.eventually("trimming the log of "+on, func() error {
		first, _, err := c.nodes[on].store.Log(1).Bounds()
		if err == nil && first < 50 {
			err = fmt.Errorf("it begins at %d", first)
		}
		c.write(on, "push")
		return err
	})
}

// A node that was wiped comes back as another server, and the old one leaves.
func TestWiped(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c")
	c.start("a", "b", "c")
	c.open("a")
	for i := range 20 {
		c.write("a", fmt.Sprintf("d%d", i))
	}
	for _, n := range c.names { // Also the one that founded the shards.
		c.stop(n)
		c.wipe(n)
		c.start(n)
		c.eventually("a wiped node catches up", func() error { return c.has(n, "d19") })
		c.equal(n, 3)
		c.voters(n, "a", "b", "c")
	}
}

// voters waits until a node sees these voters in shard 1.
func (c *cluster) voters(on string, want ...string) {
	c.t.Helper()
	c.eventually("voters", func() error {
		have := c.nodes[on].set.Statuses()[1].Voters
		slices.Sort(have)
		if !slices.Equal(have, want) {
			return fmt.Errorf("%v, want %v", have, want)
		}
		return nil
	})
}

// A shard moves from a, b, c to c, d, e when the table says so; who leaves
// drops it.
func TestMove(t *testing.T) {
	t.Parallel()
	c := newCluster(t, [][]string{{"a", "b", "c"}, {"a", "b", "c"}}, "a", "b", "c", "d", "e")
	c.start("a", "b", "c", "d", "e")
	c.open("e") // Which has no part in it.
	for i := range 20 {
		c.write("d", fmt.Sprintf("d%d", i))
	}
	if err := c.has("d", "d0"); err == nil {
		t.Error("d has a shard that is not its own")
	}
	c.place = [][]string{{"a", "b", "c"}, {"c", "d", "e"}}
	for _, n := range c.names { // As a deployment does it: one after the other.
		c.stop(n)
		c.start(n)
		c.write("c", "during-"+n)
	}
	c.voters("d", "c", "d", "e")
	c.equal("d", 3)
	if err := errors.Join(c.has("d", "d0"), c.has("e", "during-b")); err != nil {
		t.Error(err)
	}
	for _, n := range []string{"a", "b"} {
		c.eventually(n+" drops the shard", func() error {
			if c.has(n, "d0") == nil {
				return errors.New("still there")
			}
			return nil
		})
		if term, err := c.nodes[n].store.Log(1).Value([]byte("CurrentTerm")); err != nil || term == "" {
			t.Errorf("%s does not remember what it voted: %q, %v", n, term, err)
		}
	}
}

// A majority is lost for good: the survivor goes on alone, others join empty.
func TestLostMajority(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c")
	c.start("a", "b", "c")
	c.open("a")
	for i := range 20 {
		c.write("a", fmt.Sprintf("d%d", i))
	}
	c.equal("a", 3)
	for _, n := range c.names {
		c.stop(n)
	}
	old := c.nodes["b"].fs
	for _, n := range []string{"a", "b"} {
		c.wipe(n)
	}
	c.refound("c")
	c.start("a", "b", "c")
	c.write("c", "alone")
	c.equal("c", 3)
	if err := errors.Join(c.has("a", "d19"), c.has("b", "d0")); err != nil {
		t.Error(err)
	}
	// A node of the old history has no say in the new one, and does no harm.
	c.stop("b")
	c.nodes["b"].fs = old
	c.start("b")
	c.write("a", "with-an-old-node")
	c.write("c", "still")
}

// refound makes what a node has the beginning of a new history.
func (c *cluster) refound(name string) {
	c.t.Helper()
	c.offline(name, func(st *store.Store) {
		before, err := st.Head(1)
		if err != nil {
			c.t.Fatal(err)
		}
		if err := st.Renew("new"); err != nil {
			c.t.Fatal(err)
		}
		for i := range uint16(2) {
			if _, err := group.Refound(st, i, name, "new", true); err != nil {
				c.t.Fatal(err)
			}
		}
		after, err := st.Head(1)
		if err != nil || after.Epoch <= before.Epoch || after.History == before.History || after.Index < before.Index {
			c.t.Errorf("from %+v to %+v, %v", before, after, err)
		}
	})
}

func (c *cluster) offline(name string, f func(*store.Store)) {
	c.t.Helper()
	st, err := store.Open(store.Options{Dir: "db", FS: c.nodes[name].fs, CacheBytes: 1 << 20, MemTableBytes: 1 << 20, Log: quiet()})
	if err != nil {
		c.t.Fatal(err)
	}
	f(st)
	if err := st.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// A replica that is made different on purpose is found, and its node stops.
func TestDivergence(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c")
	c.start("a", "b", "c")
	c.open("a")
	c.write("a", "d")
	c.equal("a", 3)
	b, err := c.nodes["b"].store.Batch(1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Apply(b.Head().Position, store.Entry{Cmd: store.WriteLocal{DB: dbID, ID: "evil", Body: []byte("{}")}})
	if err = errors.Join(err, b.Commit(true)); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	got, err := c.nodes["a"].set.Compare(t.Context(), 1)
	if err != nil || got.Equal || !slices.Equal(got.Differ, []string{"b"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if !errors.Is(c.nodes["b"].store.Damage(), store.ErrDamaged) {
		t.Error("the store of b is not damaged")
	}
}

// Where no majority of the voters is the same, nobody is condemned.
func TestNobodyIsRight(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c")
	c.start("a", "b", "c")
	c.open("a")
	c.write("a", "d")
	c.equal("a", 3)
	for _, n := range []string{"a", "b", "c"} {
		b, err := c.nodes[n].store.Batch(1)
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Apply(b.Head().Position, store.Entry{Cmd: store.WriteLocal{DB: dbID, ID: "evil-" + n, Body: []byte("{}")}})
		if err = errors.Join(err, b.Commit(true)); err != nil || r.Err != nil {
			t.Fatal(err, r.Err)
		}
	}
	got, err := c.nodes["a"].set.Compare(t.Context(), 1)
	if err != nil || got.Equal || len(got.Differ) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, n := range c.names {
		if err := c.nodes[n].store.Damage(); err != nil {
			t.Errorf("%s: %v", n, err)
		}
	}
}

// A founder that crashes between the library's first term and its first entry
// founds the shard when it is back.
func TestFoundingCutShort(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c")
	c.offline("a", func(st *store.Store) {
		if err := st.Renew("1"); err != nil {
			t.Fatal(err)
		}
		for i := range uint16(2) {
			l := st.Log(i)
			if err := errors.Join(l.SetValue([]byte("CurrentTerm"), []byte{0, 0, 0, 0, 0, 0, 0, 1}), l.SetValue([]byte("Promise"), []byte("a@1"))); err != nil {
				t.Fatal(err)
			}
		}
	})
	c.start("a", "b", "c")
	c.open("a")
	c.write("b", "d")
	c.equal("c", 3)
}
