package view

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dlclark/regexp2/v2"
)

// What a call that was stopped wraps.
var (
	ErrTime   = errors.New("the function took too long")
	ErrHeap   = errors.New("the function took too much memory")
	ErrOutput = errors.New("the function returned or emitted too much")
	ErrInput  = errors.New("the document is too large for a function")
)

// An Exception is what a function threw.
type Exception struct {
	Text  string
	Value []byte // The value as JSON if it is a plain object; else nil.
}

func (e *Exception) Error() string { return e.Text }

// Limits bound the calls of one engine. Zero members take the default.
type Limits struct {
	Time     time.Duration // Of one call, at most 5 s, which is CouchDB's.
	Heap     uint64        // Growth of the process's heap during a call. 128 MiB.
	Input    int           // Bytes of JSON given to a call. 16 MiB.
	Output   int           // Bytes of JSON that a call returns or emits. 16 MiB.
	Rows     int           // Rows that a map emits for one document. 100,000.
	Parallel int           // Sessions open at once. 2.
}

func (l Limits) withDefaults() Limits {
	def := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	def(&l.Input, 16<<20)
	def(&l.Output, 16<<20)
	def(&l.Rows, 100_000)
	def(&l.Parallel, 2)
	if l.Time == 0 || l.Time > maxTime {
		l.Time = maxTime
	}
	if l.Heap == 0 {
		l.Heap = 128 << 20
	}
	return l
}

// An Engine opens sessions. Any goroutine may use it.
type Engine struct {
	limits Limits
	slots  chan struct{} // Has room for the sessions that are open.
}

// maxTime is the longest time of a call.
const maxTime = 5 * time.Second

// matchTime sets how long a regular expression may match, which goja leaves no
// way to say but by a variable of the package it uses. A match that is stopped
// counts as none; by then the call has had its time and is interrupted.
var matchTime sync.Once

// NewEngine returns an engine.
func NewEngine(l Limits) *Engine {
	l = l.withDefaults()
	matchTime.Do(func() { regexp2.DefaultMatchTimeout = maxTime })
	return &Engine{limits: l, slots: make(chan struct{}, l.Parallel)}
}

// Open waits for a place and opens a session. The caller closes it.
func (e *Engine) Open(ctx context.Context) (*Session, error) {
	select {
	case e.slots <- struct{}{}:
		return newSession(e), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
