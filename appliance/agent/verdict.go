package agent

import (
	"context"
	"errors"
	"fmt"

	"leap.example/appliance/node"
)

// conclude gives the verdict on a generation that was on trial: why says why it
// is bad, nil that it is good. An agent that is being stopped has none.
func (a *Agent) conclude(ctx context.Context, state node.Generation, why error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	state.State = node.StateGood
	if why != nil {
		state.State, state.Reason = node.StateBad, why.Error()
		a.log.WarnContext(ctx, "the generation is bad", "generation", state.Number, "reason", state.Reason)
	}
	a.owe(state)
	return a.keep(ctx)
}

// keep makes the node what the verdict that is owed says, and then the verdict
// durable: a disk that is full keeps no node in a network that nobody reaches.
// Until the verdict is on the disk it stays owed. The caller holds applying.
func (a *Agent) keep(ctx context.Context) error {
	v := a.owing()
	switch v.State {
	case "":
		return nil
	case node.StateGood:
		if err := a.gens.setState(v); err != nil {
			return fmt.Errorf("generation %d is good, which cannot be kept: %w", v.Number, err)
		}
		a.owe(node.Generation{})
		a.mu.Lock()
		a.state = v
		a.mu.Unlock()
		return a.prune(v.Number)
	}
	d, state, older := a.usable(v.Number, 0)
	a.set(d, state)
	installed := a.install(ctx, d, func(string) {})
	err := errors.Join(a.gens.setState(v), a.gens.setCurrent(state.Number))
	if err != nil {
		return errors.Join(older, installed, fmt.Errorf("generation %d is bad, which cannot be kept: %w", v.Number, err))
	}
	a.owe(node.Generation{})
	return errors.Join(older, installed, a.prune(state.Number))
}

// prune removes generations that nobody needs any more, and secrets that none of
// the others names.
func (a *Agent) prune(current uint64) error {
	keep, err := a.gens.prune(current)
	if err != nil {
		return err
	}
	return a.keys.Retain(func(name string) bool { return keep[name] || name == meshKey })
}
