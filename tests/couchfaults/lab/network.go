package lab

import (
	"sync"
	"time"
)

// connect makes a path and a link for each ordered pair of nodes, whose peer
// ports are given.
func (l *Lab) connect(ports []int) error {
	for a := range ports {
		l.paths = append(l.paths, nil)
		for range ports {
			l.paths[a] = append(l.paths[a], newGate())
		}
	}
	for a := range ports {
		for b, port := range ports {
			if a == b {
				continue
			}
			k, err := newLink(addr(port), l.paths[a][b], l.paths[b][a])
			if err != nil {
				return err
			}
			k.from, k.to = a, b
			l.links = append(l.links, k)
		}
	}
	return nil
}

// Partition lets packets pass from a to b only where reaches says so. What is
// held back is delivered after Heal, as by a network that repeats. With reset,
// connections between nodes that cannot talk in both directions break at once,
// and new ones are refused: the nodes learn of it.
func (l *Lab) Partition(reaches func(a, b int) bool, reset bool) {
	for a := range l.paths {
		for b, g := range l.paths[a] {
			g.set(reaches(a, b))
		}
	}
	for _, k := range l.links {
		k.refuse(reset && !(reaches(k.from, k.to) && reaches(k.to, k.from)))
	}
}

// Heal lets everything pass, at once.
func (l *Lab) Heal() {
	l.Partition(func(int, int) bool { return true }, false)
	l.Delay(0)
}

// Delay makes every packet between nodes take so long.
func (l *Lab) Delay(d time.Duration) {
	for _, row := range l.paths {
		for _, g := range row {
			g.slow(d)
		}
	}
}

// A gate is what bytes in one direction between two nodes go through.
type gate struct {
	mu    sync.Mutex // Guards what follows.
	open  chan struct{}
	shut  bool
	delay time.Duration
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case open && g.shut:
		close(g.open)
	case !open && !g.shut:
		g.open = make(chan struct{})
	}
	g.shut = !open
}

func (g *gate) slow(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delay = d
}

// pass returns when bytes that came now are through, or false when done is.
func (g *gate) pass(done <-chan struct{}) bool {
	g.mu.Lock()
	open, delay := g.open, g.delay
	g.mu.Unlock()
	select {
	case <-open:
	case <-done:
		return false
	}
	if delay == 0 {
		return true
	}
	select {
	case <-time.After(delay):
		return true
	case <-done:
		return false
	}
}
