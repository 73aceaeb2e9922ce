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
	group grouping

	mu       sync.Mutex
	now, old map[netip.Prefix]cell
	turned   time.Time
}

type cell struct {
	due     time.Time // When the network would be back at zero.
	refused uint      // In a row.
}

func newLimiter(rate int, group grouping) *limiter {
	return &limiter{every: time.Second / time.Duration(rate), group: group, now: map[netip.Prefix]cell{}, old: map[netip.Prefix]cell{}}
}

// ask counts one answer to addr at time t.
func (l *limiter) ask(addr netip.Addr, t time.Time) verdict {
	network := l.group(addr)
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

// A grouping says which addresses are one client.
type grouping func(netip.Addr) netip.Prefix

// networkOf is the grouping for clients of the world: a forger has a whole
// network.
func networkOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 56
	if addr.Is4() {
		bits = 24
	}
	p, _ := addr.Prefix(bits) // Fails only for the zero Addr, which is a network of its own.
	return p
}

// hostOf is the grouping for tunnel clients, of whom each has its own address,
// which nobody forges.
func hostOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	return netip.PrefixFrom(addr, addr.BitLen())
}

// A share counts what clients use at once of what there is.
type share struct {
	max, each int // For all, and for one client.

	mu  sync.Mutex
	all int
	by  map[netip.Prefix]int
}

func newShare(most, each int) *share {
	return &share{max: most, each: each, by: map[netip.Prefix]int{}}
}

// add reports whether the client may use one more.
func (s *share) add(p netip.Prefix) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == s.max || s.by[p] == s.each {
		return false
	}
	s.all++
	s.by[p]++
	return true
}

func (s *share) remove(p netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.by[p]--; s.by[p] == 0 {
		delete(s.by, p)
	}
}
