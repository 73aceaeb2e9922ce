package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leap.example/appliance/node"
)

// unlimited is no limit for generations' numbers.
const unlimited = ^uint64(0)

// resume makes the node what its current generation says. If that cannot be
// applied, by this release or by any, the node is what the newest good one says
// that can, so that it is reached; which one is current stays, since the next
// release may be one that can.
func (a *Agent) resume(ctx context.Context) error {
	if err := a.keep(ctx); err != nil {
		return err
	}
	n, err := a.gens.current()
	if err == nil && n == 0 {
		return a.wait(ctx)
	}
	var d node.Document
	var state node.Generation
	if err == nil {
		if d, state, err = a.open(n); err != nil {
			err = fmt.Errorf("generation %d cannot be applied: %w", n, err)
		}
	}
	if err != nil {
		d, state, older := a.usable(unlimited, n)
		state.Reason = err.Error()
		a.set(d, state)
		return errors.Join(err, older, a.install(ctx, d, func(string) {}))
	}
	if state.State == node.StateBad { // A crash came between the verdict and going back.
		a.owe(state)
		return a.keep(ctx)
	}
	a.set(d, state)
	err = a.install(ctx, d, func(string) {})
	if state.State != node.StateTrial {
		return err
	}
	if err == nil {
		// It was cut off from its operators, perhaps, before it was started anew.
		before, _, older := a.usable(n, 0)
		if older != nil {
			a.log.WarnContext(ctx, "there is a generation that one cannot go back to", "err", older)
		}
		err = a.judge(ctx, d, before, time.Now(), func(node.Event) {})
	}
	return a.conclude(ctx, state, err)
}

// open returns a kept generation if it can be applied.
func (a *Agent) open(n uint64) (node.Document, node.Generation, error) {
	signed, state, err := a.gens.read(n)
	if err != nil {
		return node.Document{}, state, err
	}
	d, err := a.verify(signed)
	return d, state, err
}

// usable returns the newest good generation below limit that can be applied, or
// what the node was before all. The error says why newer ones cannot, but for one
// that was tried already (0: none).
func (a *Agent) usable(limit, tried uint64) (d node.Document, state node.Generation, err error) {
	good, err := a.gens.good(limit)
	for _, n := range good {
		if n == tried {
			continue
		}
		d, state, one := a.open(n)
		if one == nil {
			return d, state, err
		}
		err = errors.Join(err, fmt.Errorf("generation %d cannot be applied: %w", n, one))
	}
	return a.newborn(), node.Generation{}, err
}

// newborn is what a node is before it has a document.
func (a *Agent) newborn() node.Document {
	id := a.cfg.Identity
	return node.Document{
		Schema: node.Schema, Provider: id.Provider, Node: id.Node, Agent: id.Agent, Time: id.Time,
		Network: node.Network{Interfaces: []node.Interface{id.Interface}},
	}
}

// wait makes the node reachable, and no more: it has no document yet.
func (a *Agent) wait(ctx context.Context) error {
	d := a.newborn()
	a.set(d, node.Generation{})
	return a.install(ctx, d, func(string) {})
}
