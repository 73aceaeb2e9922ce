package netstack

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// meters hold limited clients to a rate: each address and direction has a bucket
// of its own. Connections wait until it has filled, datagrams are dropped.
type meters struct {
	rate int64 // Bytes a second.

	mu  sync.RWMutex // Guards all.
	all map[netip.Addr]*[2]bucket
}

// The directions of a meter.
const (
	up = iota
	down
)

func newMeters(rate int64) *meters {
	return &meters{rate: rate, all: map[netip.Addr]*[2]bucket{}}
}

// limit makes addrs the limited ones. Those that were keep their buckets.
func (m *meters) limit(addrs []netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := make(map[netip.Addr]*[2]bucket, len(addrs))
	for _, a := range addrs {
		if next[a] = m.all[a]; next[a] == nil {
			next[a] = &[2]bucket{}
		}
	}
	m.all = next
}

// add limits addrs as well.
func (m *meters) add(addrs []netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range addrs {
		if m.all[a] == nil {
			m.all[a] = &[2]bucket{}
		}
	}
}

// remove limits addrs no more.
func (m *meters) remove(addrs []netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range addrs {
		delete(m.all, a)
	}
}

// drop reports whether n bytes may not pass now.
func (m *meters) drop(_ context.Context, a netip.Addr, direction, n int) bool {
	b := m.of(a, direction)
	return b != nil && b.take(int64(n), m.rate, false, time.Now()) < 0
}

// wait waits until n bytes may pass. It reports true if ctx is done before.
func (m *meters) wait(ctx context.Context, a netip.Addr, direction, n int) bool {
	b := m.of(a, direction)
	if b == nil {
		return false
	}
	timer := time.NewTimer(b.take(int64(n), m.rate, true, time.Now()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return true
	case <-timer.C:
		return false
	}
}

func (m *meters) of(a netip.Addr, direction int) *bucket {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if b := m.all[a]; b != nil {
		return &b[direction]
	}
	return nil
}

// A bucket fills with a rate and holds a tenth of a second of it.
type bucket struct {
	mu    sync.Mutex
	level int64
	at    time.Time
}

// take takes n bytes and returns how long it lasts until they are there. Without
// debt it takes none that are not there, and returns -1.
func (b *bucket) take(n, rate int64, debt bool, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := max(rate/10, 2*1500)
	if b.at.IsZero() {
		b.level, b.at = size, now
	}
	if gain := int64(now.Sub(b.at)) * rate / int64(time.Second); gain > 0 {
		b.level, b.at = min(size, b.level+gain), now
	}
	if b.level < n && !debt {
		return -1
	}
	b.level -= n
	return time.Duration(max(0, -b.level)) * time.Second / time.Duration(rate)
}
