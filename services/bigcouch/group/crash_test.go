package group_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"leap.example/services/bigcouch/store"
)

// A node whose power fails at whatever step of receiving and installing a state
// comes back with the one or the other, and catches up.
func TestCrashWhileReceiving(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c")
	c.trailing, c.threshold = 10, 20
	c.start("a", "b", "c")
	c.open("a")
	c.write("c", "first")
	c.stop("c")
	for i := range 60 {
		c.write("a", fmt.Sprintf("d%d", i))
	}
	c.trimmed("a")
	c.trimmed("b")

	var mu sync.Mutex
	var disks []*vfs.MemFS
	begun := false
	disk, options := c.nodes["c"].fs, c.options
	watched := errorfs.Wrap(disk, errorfs.InjectorFunc(func(o errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if o.Kind.ReadOrWrite() != errorfs.OpIsWrite || len(disks) == 60 {
			return nil
		}
		if begun = begun || strings.Contains(o.Path, "incoming-1-"); begun {
			n := len(disks)
			disks = append(disks, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[n%3], RNG: rand.New(rand.NewPCG(uint64(n), 3))}))
		}
		return nil
	}))
	c.options = func(name string) store.Options {
		o := options(name)
		if name == "c" {
			o.FS = watched
		}
		return o
	}
	c.start("c")
	c.eventually("c catches up", func() error { return c.has("c", "d59") })
	c.write("a", "between")
	c.eventually("c follows", func() error { return c.has("c", "between") })
	c.stop("c")
	c.options = options
	if len(disks) < 10 {
		t.Fatalf("%d steps", len(disks))
	}
	for i, at := range []int{0, 3, 6, 9, 12, len(disks) - 1} {
		if at >= len(disks) {
			continue
		}
		c.nodes["c"].fs = disks[at]
		c.start("c")
		c.write("c", fmt.Sprintf("after%d", i))
		c.equal("b", 3)
		for _, id := range []string{"first", "d0", "d59", "between"} {
			if err := c.has("c", id); err != nil {
				t.Errorf("after a crash at step %d: %v", at, err)
			}
		}
		c.stop("c")
	}
}
