package deploy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"leap.example/appliance/node"
)

// How a node is followed while it judges a document.
const (
	quietFor  = 3 * time.Second // Without an event, the node is looked for.
	pollEvery = time.Second
)

// give pushes the document once, and returns the verdict. A document may break
// the very connection over which the verdict would come, without anybody being
// told: when that is silent, the node is asked over new ones, which is also how
// it learns that it can be reached.
func (p *pusher) give(ctx context.Context, t Target, s node.Status) (node.Generation, error) {
	b, number, err := bundle(t.Document, s, p.o)
	if err != nil {
		return node.Generation{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, budget(t.Document))
	defer cancel()
	stream, cut := context.WithCancel(ctx)
	defer cut()
	var heard atomic.Int64 // When, in Unix nanoseconds.
	heard.Store(time.Now().UnixNano())
	var (
		asking sync.WaitGroup
		asked  node.Generation // Written before cut is called.
	)
	asking.Go(func() {
		for !pause(stream, pollEvery) {
			if time.Since(time.Unix(0, heard.Load())) < quietFor {
				continue
			}
			if v, ok := t.ask(stream, number); ok && !pause(stream, quietFor) {
				asked = v
				cut()
			}
		}
	})
	verdict, err := t.Client.apply(stream, b, func(e node.Event) {
		heard.Store(time.Now().UnixNano())
		p.tell(t.Document.Node, e)
		if e.Contact {
			asking.Go(func() { t.find(stream, p.tell) })
		}
	})
	cut()
	asking.Wait()
	switch {
	case err != nil && asked.Number != 0:
		return asked, nil
	case errors.Is(err, errBroken):
		p.tell(t.Document.Node, node.Event{Text: "the connection broke: looking for the node"})
		return t.await(ctx, number)
	}
	return verdict, err
}

// clients are where the agent may be, the new place first.
func (t Target) clients() []*Client {
	if t.Next == nil {
		return []*Client{t.Client}
	}
	return []*Client{t.Next, t.Client}
}

// find asks until the agent answers over a new connection, and tells why it
// does not.
func (t Target) find(ctx context.Context, tell func(string, node.Event)) {
	told := false
	for !pause(ctx, 0) {
		for _, c := range t.clients() {
			_, err := c.Status(ctx)
			if err == nil {
				return
			}
			if !told && ctx.Err() == nil {
				told = true
				tell(t.Document.Node, node.Event{Text: err.Error()})
			}
		}
		pause(ctx, pollEvery)
	}
}

// ask asks once whether there is a verdict about a generation.
func (t Target) ask(ctx context.Context, number uint64) (v node.Generation, ok bool) {
	for _, c := range t.clients() {
		if s, err := c.Status(ctx); err == nil {
			return about(s, number)
		}
	}
	return v, false
}

// about is the verdict about a generation that a status tells. An agent that has
// just started says nothing of it yet.
func about(s node.Status, number uint64) (v node.Generation, ok bool) {
	switch {
	case s.Current.Number == number:
		return s.Current, s.Current.State != node.StateTrial
	case s.Bad.Number == number:
		return s.Bad, true
	case max(s.Current.Number, s.Bad.Number) > number:
		return node.Generation{Number: number, State: node.StateBad, Reason: "another document came after it: leap history, leap status"}, true
	}
	return v, false
}

// await asks for the status until there is a verdict about a generation.
func (t Target) await(ctx context.Context, number uint64) (node.Generation, error) {
	last := errBroken
	for !pause(ctx, pollEvery) {
		for _, c := range t.clients() {
			s, err := c.Status(ctx)
			if err != nil {
				last = err
				continue
			}
			if v, ok := about(s, number); ok {
				return v, nil
			}
			if s.Highest < number && s.Current.State != node.StateTrial {
				return node.Generation{}, fmt.Errorf("the node has not taken the document: %w", last)
			}
		}
	}
	return node.Generation{}, fmt.Errorf("no verdict in time: %w", last)
}

// pause waits, and reports whether ctx is done.
func pause(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	return ctx.Err() != nil
}
