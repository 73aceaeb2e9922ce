package gateway

import (
	"hash/maphash"
	"net"
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

// A gate bounds the connections of several listeners together, and how many
// each network opens. What is too much is closed before it costs a handshake.
type gate struct {
	places chan struct{}
	dials  *limiter
}

func newGate(most int, dials *limiter) *gate { return &gate{make(chan struct{}, most), dials} }

// watch returns ln behind the gate.
func (g *gate) watch(ln net.Listener) net.Listener { return gated{ln, g} }

type gated struct {
	net.Listener
	gate *gate
}

// Accept implements net.Listener.
func (l gated) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !l.gate.dials.allow(sourceOf(c.RemoteAddr().String()), time.Now()) {
			c.Close()
			continue
		}
		select {
		case l.gate.places <- struct{}{}:
			return &counted{Conn: c, leave: sync.OnceFunc(func() { <-l.gate.places })}, nil
		default:
			c.Close()
		}
	}
}

type counted struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}
