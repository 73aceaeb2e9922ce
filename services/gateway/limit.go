package gateway

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	window     = 10 * time.Second
	maxSources = 1 << 16
)

// A limiter counts what comes from each network in the present window of ten
// seconds. It remembers hashes under a seed that changes with the window, and
// nothing beyond it.
type limiter struct {
	most uint32 // In a window.

	mu    sync.Mutex // Guards what follows.
	begun time.Time
	seed  maphash.Seed
	seen  map[uint64]uint32
}

func newLimiter(perMinute int) *limiter {
	return &limiter{most: uint32(max(1, int64(perMinute)*int64(window)/int64(time.Minute)))}
}

// allow counts one more from source and reports whether it may be.
func (l *limiter) allow(source netip.Prefix, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil || now.Sub(l.begun) >= window {
		l.begun, l.seed, l.seen = now, maphash.MakeSeed(), map[uint64]uint32{}
	}
	key := maphash.Comparable(l.seed, source)
	if _, ok := l.seen[key]; !ok && len(l.seen) >= maxSources {
		key = 0 // Those that come when all is full count as one.
	}
	if l.seen[key] >= l.most {
		return false
	}
	l.seen[key]++
	return true
}
