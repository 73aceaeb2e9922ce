package vnet

import (
	"slices"
	"sync"
	"time"
)

// maxQueue is how many frames wait for one port: about a second of a delayed
// 10 Mbit/s link. More are lost, as on any switch.
const maxQueue = 1024

// A queue holds the frames on their way to a port, each until it is due.
type queue struct {
	wake chan struct{} // Holds a token when items has a new head.

	mu    sync.Mutex
	items []queued // By due time; frames due at the same time keep their order.
}

type queued struct {
	due   time.Time
	frame []byte
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// push adds a frame, and reports whether there was room.
func (q *queue) push(due time.Time, frame []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) >= maxQueue {
		return false
	}
	at := len(q.items)
	for at > 0 && q.items[at-1].due.After(due) {
		at--
	}
	q.items = slices.Insert(q.items, at, queued{due, frame})
	if at == 0 {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// pop returns the next frame when it is due, or false when stop is closed first.
func (q *queue) pop(stop <-chan struct{}) ([]byte, bool) {
	for {
		frame, wait := q.next()
		if frame != nil {
			return frame, true
		}
		var due <-chan time.Time
		if wait > 0 {
			due = time.After(wait)
		}
		select {
		case <-due:
		case <-q.wake:
		case <-stop:
			return nil, false
		}
	}
}

// next returns the head if it is due, else how long it waits, or 0 if there is
// none.
func (q *queue) next() ([]byte, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return nil, 0
	}
	if wait := time.Until(q.items[0].due); wait > 0 {
		return nil, wait
	}
	frame := q.items[0].frame
	q.items = slices.Delete(q.items, 0, 1)
	return frame, 0
}

// clear forgets all frames.
func (q *queue) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = nil
}
