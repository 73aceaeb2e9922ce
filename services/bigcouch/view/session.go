package view

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"time"

	"github.com/dop251/goja"
)

const (
	watchEvery = 3 * time.Millisecond // How often a call is looked at.
	grace      = time.Second          // How long an interrupted call may take to end.
)

// A Session is a fresh runtime and the goroutine that it runs on. It is used
// by one goroutine at a time, and is worth nothing after an error that is no
// Exception. It holds a place of its engine until it is closed.
type Session struct {
	limits Limits
	work   chan func() // Closed by Close.
	done   chan struct{}
	dead   error // Why no further call is possible.

	// What follows belongs to the goroutine.
	rt        *goja.Runtime
	cause     error                       // Of an interruption by the goroutine itself.
	emit      func(key, value goja.Value) // Nil outside of map functions.
	parseJSON goja.Callable
	joins     int // How deep Array.prototype.join is in itself.
	loaded    map[*goja.Program]goja.Callable
}

func newSession(e *Engine) *Session {
	s := &Session{
		limits: e.limits, work: make(chan func()), done: make(chan struct{}, 1), rt: goja.New(), loaded: map[*goja.Program]goja.Callable{},
	}
	s.furnish()
	go func() { // Ends with Close, or with the built-in that kept a call from ending.
		for f := range s.work {
			f()
			s.done <- struct{}{}
		}
		<-e.slots
	}()
	return s
}

// Close ends the session. A call that was given up holds its place until its
// built-in function returns.
func (s *Session) Close() { close(s.work) }

// A heapWatch tells how far the heap of the process has grown.
type heapWatch struct {
	limit, base uint64
	look        uint64 // The size at which it is worth a collection to know.
}

// newHeapWatch begins to watch. What is garbage already must not count as a
// part of what was there before.
func newHeapWatch(limit uint64) *heapWatch {
	objects, live := heap()
	if objects > live+limit/2 {
		runtime.GC()
		objects, _ = heap()
	}
	return &heapWatch{limit, objects, objects + limit}
}

// grown reports whether the heap has grown by more than the limit.
func (w *heapWatch) grown() bool {
	objects, _ := heap()
	if objects <= w.look {
		return false
	}
	runtime.GC()
	objects, _ = heap()
	w.look = max(w.look, objects+w.limit/2)
	return objects > w.base+w.limit
}

// heap returns the bytes of objects in the heap of the process, and of those
// that the last collection found in use.
func heap() (objects, live uint64) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}

// do runs f on the goroutine of the session and sees to it that it ends.
func (s *Session) do(ctx context.Context, f func() error) error {
	if s.dead != nil {
		return s.dead
	}
	watch := newHeapWatch(s.limits.Heap)
	var err error
	s.work <- func() {
		defer func() {
			if x := recover(); x != nil { // An error of goja's.
				err = fmt.Errorf("the interpreter failed: %v", x)
			}
		}()
		s.cause = nil
		err = s.told(f())
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	deadline := time.Now().Add(s.limits.Time)
	var stopped time.Time
	ended := ctx.Done()
	stop := func(cause error) {
		ended, s.dead, stopped = nil, cause, time.Now()
		s.rt.Interrupt(cause)
	}
	for {
		select {
		case <-s.done:
			if s.dead == nil && err != nil {
				if _, thrown := errors.AsType[*Exception](err); !thrown {
					s.dead = err
				}
			}
			if s.dead != nil {
				return s.dead
			}
			return err
		case <-ended:
			stop(context.Cause(ctx))
		case now := <-tick.C:
			switch {
			case s.dead != nil && now.Sub(stopped) > grace:
				return s.dead // Given up.
			case s.dead != nil:
			case now.After(deadline):
				stop(ErrTime)
			case watch.grown():
				stop(ErrHeap)
			}
		}
	}
}

// told turns an error of goja's into one of ours.
func (s *Session) told(err error) error {
	if err == nil {
		return s.cause
	}
	if i, ok := errors.AsType[*goja.InterruptedError](err); ok {
		cause, _ := i.Value().(error)
		return cmp.Or(s.cause, cause, err)
	}
	if _, ok := errors.AsType[*goja.StackOverflowError](err); ok {
		return &Exception{Text: "RangeError: too much recursion"}
	}
	if e, ok := errors.AsType[*goja.Exception](err); ok {
		return s.exception(e.Value())
	}
	return &Exception{Text: err.Error()}
}

// exception describes what was thrown.
func (s *Session) exception(v goja.Value) error {
	out := &Exception{Text: "an exception"}
	err := s.rt.Try(func() {
		if o, ok := v.(*goja.Object); ok && o.ClassName() == "Object" {
			e := encoder{s: s, limit: maxThrown}
			if e.value(v) && !e.full {
				out.Value = e.b
			}
		}
		out.Text = clip(v.String(), maxThrown)
	})
	if err != nil {
		out.Text = clip(err.Error(), maxThrown)
	}
	return out
}

// maxThrown is how much of an exception is kept.
const maxThrown = 4 << 10

func clip(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}

// stopWith interrupts the running call for a reason of the session's own.
func (s *Session) stopWith(cause error) {
	if s.cause == nil {
		s.cause = cause
	}
	s.rt.Interrupt(cause)
}
