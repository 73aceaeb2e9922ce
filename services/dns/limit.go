package dns

import (
	"net/netip"
	"sync"
	"time"
)

const (
	burst       = time.Second // How much a network may take at once, in time of its rate.
	maxNetworks = 1 << 16     // Networks remembered per generation.
)

// A verdict is what a client network gets.
type verdict int

const (
	pass verdict = iota // The answer.
	slip                // The advice to come by TCP, which a forger cannot.
	drop                // Nothing.
)

// A limiter bounds the answers per client network by the generic cell rate
// algorithm. It forgets networks by generations, so that its memory is bounded
// and a flood from many networks cannot grow it.
type limiter struct {
	every time.Duration // Between two answers at full rate.

	mu       sync.Mutex
	now, old map[netip.Prefix]cell
	turned   time.Time
}

type cell struct {
	due     time.Time // When the network would be back at zero.
	refused uint      // In a row.
}

func newLimiter(rate int) *limiter {
	if rate == 0 {
		rate = 200
	}
	return &limiter{every: time.Second / time.Duration(rate), now: map[netip.Prefix]cell{}, old: map[netip.Prefix]cell{}}
}

// ask counts one answer to addr at time t.
func (l *limiter) ask(addr netip.Addr, t time.Time) verdict {
	network := networkOf(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.now) >= maxNetworks || t.Sub(l.turned) > 2*burst {
		l.now, l.old, l.turned = map[netip.Prefix]cell{}, l.now, t
	}
	c, ok := l.now[network]
	if !ok {
		c = l.old[network]
	}
	if c.due.Before(t) {
		c.due = t
	}
	v := pass
	if c.due.Sub(t) >= burst {
		c.refused++
		v = drop
		if c.refused%2 == 1 {
			v = slip
		}
	} else {
		c.due, c.refused = c.due.Add(l.every), 0
	}
	l.now[network] = c
	return v
}

// networkOf returns what counts as one client: a forger has a whole network.
func networkOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 56
	if addr.Is4() {
		bits = 24
	}
	p, _ := addr.Prefix(bits) // Fails only for the zero Addr, which is a network of its own.
	return p
}
