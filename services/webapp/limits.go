package webapp

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxKeys is how many keys a limiter remembers: about 10 MB.
const maxKeys = 1 << 16

// A limiter holds a token bucket for each key. It remembers the keys used
// last; a forgotten one begins anew.
type limiter struct {
	every rate.Limit
	burst int
	max   int

	mu    sync.Mutex // Guards what follows.
	byKey map[string]*list.Element
	order *list.List // Of *bucket, the one used last in front.
}

type bucket struct {
	key string
	lim *rate.Limiter
}

func newLimiter(r, preset ConfigRate, max int) *limiter {
	if r == (ConfigRate{}) {
		r = preset
	}
	every := rate.Limit(float64(r.PerHour) / time.Hour.Seconds())
	if r.PerHour == -1 {
		every = rate.Inf
	}
	return &limiter{every: every, burst: r.Burst, max: max, byKey: make(map[string]*list.Element), order: list.New()}
}

// allow counts one event of key, or returns how long it is until the next one
// is allowed.
func (l *limiter) allow(key string) (ok bool, wait time.Duration) {
	if l.every == rate.Inf {
		return true, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e, known := l.byKey[key]
	if !known {
		e = l.order.PushFront(&bucket{key, rate.NewLimiter(l.every, l.burst)})
		l.byKey[key] = e
		if l.order.Len() > l.max {
			oldest := l.order.Back()
			l.order.Remove(oldest)
			delete(l.byKey, oldest.Value.(*bucket).key)
		}
	}
	l.order.MoveToFront(e)
	now := time.Now()
	r := e.Value.(*bucket).lim.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now) // What was refused does not count.
		return false, wait
	}
	return true, 0
}

// limiters are the limits of ConfigLimits.
type limiters struct {
	loginAccount, loginNetwork, signup, certAccount, certNetwork, ticket, lookup *limiter
}

func newLimiters(c ConfigLimits) limiters {
	return limiters{
		loginAccount: newLimiter(c.LoginAccount, ConfigRate{10, 120}, maxKeys),
		loginNetwork: newLimiter(c.LoginNetwork, ConfigRate{60, 1200}, maxKeys),
		signup:       newLimiter(c.Signup, ConfigRate{10, 60}, maxKeys),
		certAccount:  newLimiter(c.CertAccount, ConfigRate{10, 60}, maxKeys),
		certNetwork:  newLimiter(c.CertNetwork, ConfigRate{30, 600}, maxKeys),
		ticket:       newLimiter(c.Ticket, ConfigRate{5, 30}, maxKeys),
		lookup:       newLimiter(c.Lookup, ConfigRate{60, 1200}, maxKeys),
	}
}

// network returns the network of a remote address: its /24 or /48.
func network(ip netip.Addr) string {
	bits := 24
	if ip.Is6() {
		bits = 48
	}
	p, err := ip.Prefix(bits)
	if err != nil || !p.IsValid() {
		return "" // No address, as behind a unix socket: one network.
	}
	return p.String()
}

// remote returns the address of the peer. There is no proxy in front of
// webapp, so headers are not asked.
func remote(addr string) netip.Addr {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
