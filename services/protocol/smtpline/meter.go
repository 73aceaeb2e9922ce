package smtpline

import (
	"net/netip"
	"sync"
	"time"
)

// A Rate allows Burst events at once and then one in each Every.
type Rate struct {
	Every time.Duration
	Burst int
}

// A Meter measures the events of each key against one rate, by the generic
// cell rate algorithm (ITU-T I.371): one time is kept for each key that is not
// at rest. Its methods may be called from any goroutine.
type Meter[K comparable] struct {
	rate Rate

	mu    sync.Mutex // Guards what follows.
	rest  map[K]time.Time
	sweep int // Size at which keys at rest are thrown out.
}

// minSweep is the least number of keys that are looked through.
const minSweep = 1024

// NewMeter returns a Meter in which all keys are at rest. A rate without burst
// allows nothing.
func NewMeter[K comparable](r Rate) *Meter[K] {
	return &Meter[K]{rate: r, rest: map[K]time.Time{}, sweep: minSweep}
}

// Take counts one event of k, and reports whether the rate allows it. An event
// that is not allowed does not count.
func (m *Meter[K]) Take(k K, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest, ok := m.next(k, now)
	if !ok {
		return false
	}
	if len(m.rest) >= m.sweep {
		for k, t := range m.rest {
			if !t.After(now) {
				delete(m.rest, k)
			}
		}
		m.sweep = max(minSweep, 2*len(m.rest))
	}
	m.rest[k] = rest
	return true
}

// Spent reports whether Take would refuse k.
func (m *Meter[K]) Spent(k K, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.next(k, now)
	return !ok
}

// next returns when k will be at rest after one more event.
func (m *Meter[K]) next(k K, now time.Time) (time.Time, bool) {
	rest := m.rest[k]
	if rest.Before(now) {
		rest = now
	}
	rest = rest.Add(m.rate.Every)
	return rest, rest.Sub(now) <= m.rate.Every*time.Duration(m.rate.Burst)
}

// Network returns what is counted as one peer: an IPv4 address, or the /64
// that one customer has of IPv6.
func Network(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // The invalid address gives the invalid prefix.
	return p
}
