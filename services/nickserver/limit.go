package nickserver

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const maxNetworks = 1 << 14 // Networks remembered per generation.

// A limiter bounds the requests per client network. It forgets networks by
// generations, so that its memory is bounded.
type limiter struct {
	rate rate.Limit

	mu       sync.Mutex
	now, old map[netip.Prefix]*rate.Limiter
	turned   time.Time
}

func newLimiter(perSecond int) *limiter {
	if perSecond == 0 {
		perSecond = 20
	}
	return &limiter{rate: rate.Limit(perSecond), now: map[netip.Prefix]*rate.Limiter{}}
}

// allow counts a request of addr at time t, and reports whether it is within
// bounds.
func (l *limiter) allow(addr netip.Addr, t time.Time) bool {
	network := networkOf(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	// After a minute a network is back at zero: it filled up ten seconds' worth.
	if len(l.now) >= maxNetworks || t.Sub(l.turned) > time.Minute {
		l.now, l.old, l.turned = map[netip.Prefix]*rate.Limiter{}, l.now, t
	}
	bucket := l.now[network]
	if bucket == nil {
		if bucket = l.old[network]; bucket == nil {
			bucket = rate.NewLimiter(l.rate, 10*int(l.rate))
		}
		l.now[network] = bucket
	}
	return bucket.AllowN(t, 1)
}

// networkOf returns what counts as one client: a whole network is easily had.
func networkOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 56
	if addr.Is4() {
		bits = 24
	}
	p, _ := addr.Prefix(bits) // Fails only for the zero Addr, which is a network of its own.
	return p
}
