package deploy

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"leap.example/appliance/node"
	"leap.example/services/protocol/problem"
)

// A Target is one node that is given a document.
type Target struct {
	Client   *Client       // Where the agent is now.
	Next     *Client       // Where it will be with the document. Nil: there too.
	Document node.Document // Without a generation.
	Alone    bool          // It does not change while another such node does.
}

// Options say how to push.
type Options struct {
	Signer  ed25519.PrivateKey // Required, but for a dry run.
	Secrets map[string][]byte  // By the names that documents use.
	AtOnce  int                // Nodes that change at the same time. 0: 4.
	DryRun  bool               // Only find out what would change.
	// Told hears what happens on a node; several goroutines call it, one at a time.
	Told func(name string, e node.Event)
}

// Outcomes.
const (
	Unchanged = "unchanged"    // The node is what its document says.
	Would     = "would change" // In a dry run.
	Good      = "good"         // The node took the document.
	Bad       = "bad"          // It tried it, and went back.
	Failed    = "failed"       // It refused it, or was not reached.
	Skipped   = "skipped"      // It did not work on another one.
)

// A Result is what became of one node.
type Result struct {
	Node       string          `json:"node"`
	Outcome    string          `json:"outcome"`
	Generation node.Generation `json:"generation,omitzero"` // That it has, or that was tried.
	Error      string          `json:"error,omitempty"`
}

// OK reports whether nothing went wrong.
func (r Result) OK() bool { return r.Outcome == Unchanged || r.Outcome == Would || r.Outcome == Good }

const (
	defaultAtOnce = 4
	defaultReady  = 2 * time.Minute // Of [node.Gate].
	defaultWatch  = 5 * time.Minute
	defaultWait   = 30 * time.Second // Of [node.Time].
	slack         = 2 * time.Minute  // Beyond the node's own times.
)

// Push gives each target its document and returns a result for each, in order.
func Push(ctx context.Context, targets []Target, o Options) []Result {
	if o.AtOnce <= 0 {
		o.AtOnce = defaultAtOnce
	}
	p := &pusher{o: o, slots: make(chan struct{}, o.AtOnce), alone: make(chan struct{}, 1)}
	results := make([]Result, len(targets))
	var wg sync.WaitGroup
	for k, t := range targets {
		wg.Go(func() {
			if err := p.enter(ctx); err != nil {
				results[k] = Result{Node: t.Document.Node, Outcome: Failed, Error: err.Error()}
				return
			}
			results[k] = p.one(ctx, t)
		})
	}
	wg.Wait()
	return results
}

type pusher struct {
	o     Options
	slots chan struct{}
	alone chan struct{} // Held by the only one that changes of those that are to be alone.

	mu      sync.Mutex // Guards what follows, and calls of Told.
	stopped string     // Name of the first node that is to be alone and did not work.
}

func (p *pusher) tell(name string, e node.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.o.Told != nil {
		p.o.Told(name, e)
	}
}

// enter takes a slot, and leave gives it back.
func (p *pusher) enter(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pusher) leave() { <-p.slots }

// one deploys to one node, and leaves the slot that it begins in.
func (p *pusher) one(ctx context.Context, t Target) Result {
	r, leave := Result{Node: t.Document.Node}, p.leave
	defer func() { leave() }()
	fail := func(err error) Result {
		r.Outcome, r.Error = Failed, err.Error()
		return r
	}
	s, err := t.Client.Status(ctx)
	if err != nil {
		return fail(err)
	}
	if s.Node != t.Document.Node || s.Provider != t.Document.Provider {
		return fail(fmt.Errorf("this is %s of %s", s.Node, s.Provider))
	}
	r.Generation = s.Current
	unchanged := same(s, t.Document)
	switch {
	case unchanged && !stopped(s):
		r.Outcome = Unchanged
		return r
	case p.o.DryRun:
		r.Outcome = Would
		return r
	}
	// One that has never worked may need the others to begin.
	if t.Alone && s.Good > 0 {
		// While it waits for the others of its kind it keeps nobody else waiting.
		leave()
		leave = func() {}
		select {
		case p.alone <- struct{}{}:
			defer func() { <-p.alone }()
		case <-ctx.Done():
			return fail(ctx.Err())
		}
		if err := p.enter(ctx); err != nil {
			return fail(err)
		}
		leave = p.leave
		p.mu.Lock()
		stopped := p.stopped
		p.mu.Unlock()
		if stopped != "" {
			r.Outcome, r.Error = Skipped, "it did not work on "+stopped+": this node is left as it is"
			return r
		}
	}
	verdict, err := p.give(ctx, t, s)
	if errors.Is(err, problem.Stale) { // Somebody else was faster.
		if s, err = t.Client.Status(ctx); err == nil {
			verdict, err = p.give(ctx, t, s)
		}
	}
	if unchanged && errors.Is(err, problem.Unavailable) {
		// It may be about to start its services, as after a start of its own.
		if s, again := t.Client.Status(ctx); again == nil && same(s, t.Document) {
			r.Outcome = Unchanged
			return r
		}
	}
	good := err == nil && verdict.State == node.StateGood
	if !good && t.Alone {
		p.mu.Lock()
		p.stopped = r.Node
		p.mu.Unlock()
	}
	if err != nil {
		return fail(err)
	}
	r.Generation, r.Outcome = verdict, Good
	if good && unchanged {
		r.Outcome = Unchanged
	}
	if !good {
		r.Outcome, r.Error = Bad, verdict.Reason
	}
	return r
}

// same reports whether the node is what a document says.
func same(s node.Status, d node.Document) bool {
	return s.Current.State == node.StateGood && s.Current.Reason == "" && s.Current.Digest == d.Digest()
}

// stopped reports whether a service of the node has run and does no more. Such a node
// is given what it has, which starts it. One that has not begun yet the node is about
// to start.
func stopped(s node.Status) bool {
	for _, one := range s.Services {
		if !one.Running && !one.Since.IsZero() {
			return true
		}
	}
	return false
}

// bundle is the signed document with the next number, and the secrets that the
// node does not hold.
func bundle(d node.Document, s node.Status, o Options) (node.Bundle, uint64, error) {
	d.Generation = max(s.Highest, s.Current.Number, s.Good) + 1
	text, err := json.Marshal(d)
	if err != nil {
		return node.Bundle{}, 0, err
	}
	b := node.Bundle{Document: node.Sign(o.Signer, node.ForDocument, text), Secrets: map[string][]byte{}}
	for name, digest := range d.Secrets {
		if slices.Contains(s.Secrets, digest) {
			continue
		}
		value, ok := o.Secrets[name]
		if !ok || node.SecretDigest(value) != digest {
			return b, 0, fmt.Errorf("the secret %s is not the one that the document means: compile again", name)
		}
		b.Secrets[name] = value
	}
	return b, d.Generation, nil
}

// budget is how long a verdict may take.
func budget(d node.Document) time.Duration {
	return d.Gate.Ready.Or(defaultReady) + d.Gate.Watch.Or(defaultWatch) + d.Time.Wait.Or(defaultWait) + slack
}
