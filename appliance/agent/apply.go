package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"leap.example/appliance/health"
	"leap.example/appliance/node"
	"leap.example/services/protocol/problem"
	"leap.example/updater/target"
)

// Defaults of [node.Gate].
const (
	readyFor = 2 * time.Minute
	watchFor = 5 * time.Minute
	busyFor  = 3 * time.Second // How long a document waits for another one.
)

// verify returns the document in signed, if it is one for this node that this
// release can apply.
func (a *Agent) verify(signed node.Signed) (node.Document, error) {
	text, err := signed.Open(a.cfg.Identity.Signer, node.ForDocument)
	if err != nil {
		return node.Document{}, problem.Permission.Errorf("%w: deploy from the instance that this node was made by", err)
	}
	d, err := node.ParseDocument(text)
	if err != nil {
		return node.Document{}, problem.Invalid.Errorf("%w", err)
	}
	if id := a.cfg.Identity; d.Node != id.Node || d.Provider != id.Provider {
		return node.Document{}, problem.Invalid.Errorf("this document is for %s of %s, and this is %s of %s", d.Node, d.Provider, id.Node, id.Provider)
	}
	if _, err := a.certificate(d); err != nil {
		return node.Document{}, problem.Invalid.Errorf("%w", err)
	}
	if d.LeastImage != "" && target.Compare(a.cfg.Release, d.LeastImage) < 0 {
		return node.Document{}, problem.Invalid.Errorf("this document needs release %s, and this node runs %s: update it first", d.LeastImage, a.cfg.Release)
	}
	return d, nil
}

// busy is why nothing can be changed while something else is being judged.
func (a *Agent) busy() error {
	if a.imageNow().State == node.StateTrial {
		return problem.Unavailable.Errorf("release %s is on trial: wait for its verdict", a.cfg.Release)
	}
	return problem.Unavailable.Errorf("another document or release is being taken: wait for its verdict")
}

// Apply takes a document, makes the node what it says, and returns the verdict.
// An error is that it was refused and that nothing was changed; a bad verdict,
// that the node is what it was before again. told hears of each step. It goes on
// if the connection that asked for it breaks: ctx is the agent's.
func (a *Agent) Apply(ctx context.Context, b node.Bundle, told func(node.Event)) (node.Generation, error) {
	free, err := a.change(ctx)
	if err != nil {
		return node.Generation{}, err
	}
	defer free()
	if !a.cfg.Boot.Perm {
		return node.Generation{}, problem.Unavailable.Errorf("this node can keep nothing: %s", strings.Join(a.cfg.Boot.Trouble, "; "))
	}
	d, err := a.verify(b.Document)
	if err != nil {
		return node.Generation{}, err
	}
	if err := a.keep(ctx); a.owing().State != "" {
		return node.Generation{}, problem.Unavailable.Errorf("first the verdict before has to be kept: %w", err)
	}
	before, state := a.now()
	if state.State == node.StateGood && state.Reason == "" && d.Digest() == state.Digest {
		told(node.Event{Text: "nothing to do: the node is what this document says"})
		return state, a.startStopped(ctx, d, told)
	}
	if err := a.accept(d, b); err != nil {
		return node.Generation{}, err
	}
	trial := node.Generation{Number: d.Generation, Digest: d.Digest(), State: node.StateTrial}
	if err = a.gens.add(b.Document, trial); err == nil { // Only what is whole becomes current.
		err = a.gens.setCurrent(trial.Number)
	}
	if err != nil {
		return node.Generation{}, problem.Unavailable.Errorf("the document cannot be kept: %w", err)
	}
	a.set(d, trial)
	since := time.Now()
	err = a.install(ctx, d, func(s string) { told(node.Event{Text: s}) })
	if err == nil {
		err = a.judge(ctx, d, before, since, told)
	}
	kept := a.conclude(ctx, trial, err)
	a.setTrouble(kept)
	a.lookForUpdates()
	if kept != nil {
		a.retry()
		return node.Generation{}, problem.Internal.Errorf("%w", kept)
	}
	_, verdict, readErr := a.gens.read(trial.Number)
	return verdict, readErr
}

// startStopped starts the services of d that have ended for good: who deploys
// what is there already may have mended what they need.
func (a *Agent) startStopped(ctx context.Context, d node.Document, told func(node.Event)) error {
	processes, err := a.parts.Supervisor.List(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(d.Services)) {
		if !processes[name].Running {
			told(node.Event{Text: "starting " + name + ", which had ended"})
			errs = append(errs, a.parts.Supervisor.Start(ctx, name))
		}
	}
	return errors.Join(errs...)
}

// accept checks all of a document that can be checked without applying it, and
// keeps its secrets.
func (a *Agent) accept(d node.Document, b node.Bundle) error {
	highest, _, err := a.gens.summary()
	if err != nil {
		return err
	}
	if d.Generation <= highest {
		return problem.Stale.Errorf("generation %d is not newer than %d, which this node has seen: deploy again", d.Generation, highest)
	}
	var broken error
	missing, err := b.Missing(d, func(digest string) bool {
		_, err := a.keys.Get(digest)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			broken = err
		}
		return err == nil
	})
	switch {
	case broken != nil:
		return broken
	case err != nil:
		return problem.Invalid.Errorf("%w", err)
	case len(missing) > 0:
		return problem.Invalid.Errorf("the node lacks the secrets %s: deploy again", strings.Join(missing, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Services)) {
		text, err := config(a.cfg.RunDir, name, d.Services[name])
		if err == nil {
			err = a.parts.Check(name, text)
		}
		if err != nil {
			return problem.Invalid.Errorf("service %s: %w", name, err)
		}
	}
	for _, value := range b.Secrets {
		if err := a.keys.Put(node.SecretDigest(value), value); err != nil {
			return problem.Unavailable.Errorf("the secrets cannot be kept: %w", err)
		}
	}
	return nil
}

// judge decides whether a document that is applied is good. before is what the
// node was before it, and since when it began to change.
func (a *Agent) judge(ctx context.Context, d, before node.Document, since time.Time, told func(node.Event)) error {
	ready := d.Gate.Ready.Or(readyFor)
	ctx, cancel := context.WithCancelCause(ctx)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel(nil)
	reached := make(chan struct{})
	if reflect.DeepEqual(before.Network, d.Network) && reflect.DeepEqual(before.Agent, d.Agent) {
		close(reached)
	} else {
		told(node.Event{Text: "the network has changed: waiting to be reached by a new connection", Contact: true})
		seen := a.contacts.Load()
		waiting.Go(func() {
			if a.contacted(ctx, seen, ready) {
				close(reached)
				return
			}
			cancel(&health.Unfit{Reason: fmt.Sprintf("no operator has reached the node within %v of the change of its network", ready)})
		})
	}
	err := health.Gate{
		Ready: ready, Watch: d.Gate.Watch.Or(watchFor),
		Probe: func(ctx context.Context) map[string]health.Report { return a.probe(ctx, d) },
		Told:  func(s string) { told(node.Event{Text: s}) },
	}.Wait(ctx)
	if err == nil {
		select {
		case <-reached:
		case <-ctx.Done():
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if unfit, ok := errors.AsType[*health.Unfit](err); ok && unfit.Service != "" {
		return errors.New(unfit.Reason + a.lastWords(ctx, unfit.Service, since))
	}
	return err
}

// contacted reports whether an operator comes by a new connection in time.
func (a *Agent) contacted(ctx context.Context, seen int64, within time.Duration) bool {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); a.contacts.Load() == seen; {
		if time.Now().After(end) {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// probe asks all services of d how they are.
func (a *Agent) probe(ctx context.Context, d node.Document) map[string]health.Report {
	all := make(map[string]health.Report, len(d.Services))
	processes, err := a.parts.Supervisor.List(ctx)
	for name := range d.Services {
		p := processes[name]
		r := health.Report{Restarts: p.Restarts, Err: err, Ended: p.Error}
		switch {
		case err != nil:
		case !p.Running && p.Error != "":
			r.Err = fmt.Errorf("does not run: %s", p.Error)
		case !p.Running:
			r.Err = errors.New("does not run")
		default:
			if r.Err = health.Ask(ctx, a.socket(name)); r.Err != nil && p.Error != "" {
				r.Err = fmt.Errorf("%w; it has %s", r.Err, p.Error)
			}
		}
		all[name] = r
	}
	return all
}
