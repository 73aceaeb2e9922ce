package store

import (
	"sync"
	"sync/atomic"
)

// installs counts how often shards were replaced as a whole.
type installs struct {
	n atomic.Uint64 // Of all.

	mu   sync.Mutex        // Guards last.
	last map[uint16]uint64 // n at the latest of each shard.
}

// note says that a shard is being replaced, or has been.
func (i *installs) note(shard uint16) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last[shard] = i.n.Load() + 1
	i.n.Add(1)
}

// now returns how many there were.
func (i *installs) now() uint64 { return i.n.Load() }

// since reports whether there was one of a shard after so many.
func (i *installs) since(seen uint64, shard uint16) bool {
	if i.n.Load() == seen {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.last[shard] > seen
}
