package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// crashes is a disk of which a copy is kept as a crash leaves it, before each
// step that changes it.
type crashes struct {
	vfs.FS
	disk *vfs.MemFS

	mu    sync.Mutex // Guards what follows: Pebble works in the background too.
	rng   *rand.Rand
	on    bool
	after []*vfs.MemFS
}

func newCrashes(seed uint64) *crashes {
	c := &crashes{disk: vfs.NewCrashableMem(), rng: rand.New(rand.NewPCG(seed, 1))}
	c.FS = errorfs.Wrap(c.disk, errorfs.InjectorFunc(func(o errorfs.Op) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.on && o.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			c.crash()
		}
		return nil
	}))
	return c
}

// crash keeps a copy. The caller holds mu.
func (c *crashes) crash() {
	c.after = append(c.after, c.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[len(c.after)%3], RNG: c.rng}))
}

// during does something, and returns the disks of crashes within it, before and
// behind it.
func (c *crashes) during(f func()) []*vfs.MemFS {
	c.set(true)
	f()
	c.set(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crash()
	return c.after
}

func (c *crashes) set(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = on
}

// shardSum is everything that a store has of a shard: 0 if it is nothing.
func shardSum(t *testing.T, s *Store, shard uint16) (rows int, sum [32]byte) {
	t.Helper()
	var all bytes.Buffer
	for _, kind := range []byte{kindData, kindLog, kindStable} {
		start, end := shardSpan(kind, shard)
		err := source{r: s.db}.each(start, end, func(key, value []byte) (bool, error) {
			rows++
			fmt.Fprintf(&all, "%q %q\n", key, value)
			return true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	snap, err := s.Snapshot(shard)
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	if sum, err = snap.Sum(); err != nil {
		t.Fatal(err)
	}
	return rows, sum
}

// replicated gives a store a shard 1 of a cluster, with so many documents.
func replicated(t *testing.T, s *Store, docs int) {
	t.Helper()
	b, err := s.Batch(1)
	if err != nil {
		t.Fatal(err)
	}
	b.SetMembers(Position{Index: 1, Term: 1}, []byte("members"))
	entries := []Entry{{Cmd: NameHistory{7}}, {Cmd: OpenDatabase{testDB.ID}}}
	for i := range docs {
		entries = append(entries, Entry{Cmd: write(Doc{ID: fmt.Sprintf("doc%03d", i), Body: fmt.Appendf(nil, `{"n":%d,"of":%d}`, i, docs)})})
	}
	for i, e := range entries {
		if _, err := b.Apply(Position{uint64(2 + i), 1}, e); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(true); err != nil {
		t.Fatal(err)
	}
	log := s.Log(1)
	for i, e := range entries {
		data, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Append(uint64(2+i), [][]byte{data}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.SetValue([]byte("CurrentTerm"), []byte("12345678")); err != nil {
		t.Fatal(err)
	}
}

// whole opens the disk of a crash and reports which of two states shard 1 is in,
// wholly.
func whole(t *testing.T, disk *vfs.MemFS, before, after [32]byte) (changed bool, rows int) {
	t.Helper()
	s := openMem(t, disk)
	rows, sum := shardSum(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if sum != before && sum != after {
		t.Fatal("what is there is neither what was before nor what comes after")
	}
	names, err := disk.List("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if len(name) > len(incomingPrefix) && name[:len(incomingPrefix)] == incomingPrefix {
			t.Errorf("%s is left over", name)
		}
	}
	return sum == after, rows
}

// Wherever a crash meets the installing of a shard, there is what was before, or
// what was received.
func TestCrashWhileInstalling(t *testing.T) {
	source := openMem(t, vfs.NewMem())
	replicated(t, source, 200)
	snap, err := source.Snapshot(1)
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	var stream bytes.Buffer
	if err := snap.Send(&stream); err != nil {
		t.Fatal(err)
	}
	_, after := shardSum(t, source, 1)
	for name, docs := range map[string]int{"over an older state": 20, "over nothing": -1} {
		t.Run(name, func(t *testing.T) {
			c := newCrashes(uint64(docs + 2))
			s := openMem(t, c)
			if docs > 0 {
				replicated(t, s, docs)
			}
			_, before := shardSum(t, s, 1)
			disks := c.during(func() {
				in, err := s.Receive(1, bytes.NewReader(stream.Bytes()))
				if err != nil {
					t.Fatal(err)
				}
				if err := in.Install(); err != nil {
					t.Fatal(err)
				}
			})
			old := 0
			for i, disk := range disks {
				changed, _ := whole(t, disk, before, after)
				if !changed {
					old++
				} else if i < 3 {
					t.Errorf("it is there before step %d", i)
				}
			}
			if last, _ := whole(t, disks[len(disks)-1], before, after); !last {
				t.Error("what was installed is not there")
			}
			if old == 0 || old == len(disks) {
				t.Errorf("%d of %d crashes left what was before", old, len(disks))
			}
		})
	}
}

// Tables that were received have a filter, as those have that the store writes.
func TestReceivedTablesHaveFilters(t *testing.T) {
	from, to := openMem(t, vfs.NewMem()), openMem(t, vfs.NewMem())
	replicated(t, from, 50)
	snap, err := from.Snapshot(1)
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	var stream bytes.Buffer
	if err := snap.Send(&stream); err != nil {
		t.Fatal(err)
	}
	in, err := to.Receive(1, &stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Install(); err != nil {
		t.Fatal(err)
	}
	levels, err := to.db.SSTables(pebble.WithProperties())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, tables := range levels {
		for _, table := range tables {
			n++
			if table.Properties.FilterPolicyName == "" {
				t.Errorf("a table of %d bytes has no filter", table.Size)
			}
		}
	}
	if n == 0 {
		t.Error("there are no tables")
	}
}

// Wherever a crash meets the dropping of a shard, all of it is there, its log with
// it, or nothing but its votes.
func TestCrashWhileDropping(t *testing.T) {
	c := newCrashes(9)
	s := openMem(t, c)
	replicated(t, s, 100)
	rows, before := shardSum(t, s, 1)
	_, none := shardSum(t, s, 2)
	disks := c.during(func() {
		if err := s.DropShard(1); err != nil {
			t.Fatal(err)
		}
	})
	for i, disk := range disks {
		gone, left := whole(t, disk, before, none)
		if want := map[bool]int{false: rows, true: 1}[gone]; left != want {
			t.Errorf("crash %d leaves %d rows, want %d", i, left, want)
		}
		if i == len(disks)-1 && !gone {
			t.Error("it is still there after it was dropped")
		}
	}
	if len(disks) < 2 {
		t.Errorf("%d crashes", len(disks))
	}
}
