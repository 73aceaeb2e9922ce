package soledadtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3/vfs"
	"github.com/ncruces/go-sqlite3/vfs/adiantum"

	"leap.example/client/soledad"
)

// A CrashFS is a directory on a disk with a write cache, under the stores that
// Open opens. When the power fails, a random half of the sectors written since
// the last sync of their file is as it was before; the open stores are dead,
// and Open starts again from what is on the disk. Truncation, creation and
// removal of files are not reordered.
type CrashFS struct {
	dir, name string
	sector    int64

	mu    sync.Mutex // Guards what follows.
	rand  *rand.Rand
	lies  bool // Syncs do nothing.
	boot  int  // Counts the crashes.
	left  int  // Operations until the power fails; negative: never.
	files map[*crashFile]bool
	cache map[string][]sector // By path: what is not safe, oldest first.
}

// A sector is what lay on the disk before a write.
type sector struct {
	at   int64
	data []byte
}

var registered atomic.Int64 // Names of VFSes are global in SQLite.

// NewCrashFS returns the file system of the directory dir, whose disk writes
// sectors of the given size, 512 or 4096. Close it after its stores.
func NewCrashFS(dir string, sectorSize int, seed uint64) *CrashFS {
	c := &CrashFS{
		dir: dir, name: fmt.Sprintf("crash%d", registered.Add(1)), sector: int64(sectorSize), left: -1,
		rand: rand.New(rand.NewPCG(seed, 0)), files: map[*crashFile]bool{}, cache: map[string][]sector{},
	}
	vfs.Register(c.name, adiantum.Wrap(disk{c}, nil))
	return c
}

// Close takes the file system out of SQLite.
func (c *CrashFS) Close() { vfs.Unregister(c.name) }

// Open opens the store in the file base of the directory.
func (c *CrashFS) Open(ctx context.Context, base string, key [32]byte) (*soledad.Store, error) {
	return soledad.Open(ctx, "file:"+filepath.ToSlash(filepath.Join(c.dir, base))+"?vfs="+c.name, key)
}

// CrashAfter lets the power fail at the n-th operation from now that changes a
// file.
func (c *CrashFS) CrashAfter(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = n
}

// Crash lets the power fail now, if it has not already. The stores that are
// open fail from here on; they should be closed, which fails too. It reports
// whether CrashAfter was faster.
func (c *CrashFS) Crash() (already bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if already = c.left == 0; !already {
		c.fail()
	}
	c.left = -1
	return already
}

// DropSyncs lets the disk lie from now on: it says that a sync is done, and
// does nothing.
func (c *CrashFS) DropSyncs() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lies = true
}

// fail is the power failure.
func (c *CrashFS) fail() {
	for f := range c.files {
		old := c.cache[f.path]
		for i := len(old) - 1; i >= 0; i-- {
			if c.rand.IntN(2) == 0 {
				_, _ = f.File.WriteAt(old[i].data, old[i].at) // Whatever it does: the power fails.
			}
		}
		delete(c.cache, f.path)
	}
	for f := range c.files {
		_ = f.File.Close() // Locks go with it.
	}
	clear(c.files)
	c.boot++
}

// changing counts an operation that changes a file.
func (c *CrashFS) changing() {
	if c.left > 0 {
		if c.left--; c.left == 0 {
			c.fail()
		}
	}
}
