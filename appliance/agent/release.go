package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"leap.example/appliance/health"
	"leap.example/appliance/node"
	"leap.example/appliance/slots"
)

// startSlack is what a machine may need beyond the times of the gate, from its
// start to the agent's word.
const startSlack = 30 * time.Second

// glanceFor is how long a bad release that stays is given to be healthy after
// all, each time that it is looked at.
const glanceFor = time.Second

// startedImage is what init has found out about the release that runs.
func startedImage(b node.Boot) node.Image {
	i := node.Image{Loader: b.Loader, Unpacks: node.ReleasePacked}
	switch {
	case b.Loader == "":
	case b.Trial != nil:
		i.State, i.Left = node.StateTrial, b.Trial.Left
	default:
		i.State = node.StateGood
	}
	return i
}

func (a *Agent) imageNow() node.Image {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.image
	i.Kept, i.Bad = slices.Clone(i.Kept), slices.Clone(i.Bad)
	return i
}

// look reads what releases there are.
func (a *Agent) look(ctx context.Context) error {
	all, err := a.cfg.Releases.List(ctx)
	if err != nil {
		return err
	}
	bad, err := a.cfg.Releases.Known()
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.image.Kept, a.image.Bad = nil, bad
	for _, e := range all {
		a.image.Kept = append(a.image.Kept, node.Release{Version: e.Version, State: string(e.State())})
	}
	return nil
}

// release judges the release that runs, if it is on trial, and tidies up if it
// is good. A bad one that stays, since there is no other, is judged again and
// again: it may be good once it has another document. applied is what came of
// applying the current generation, and is returned if nothing else went wrong;
// running is how long that has taken.
func (a *Agent) release(ctx context.Context, applied error, running time.Duration) error {
	if a.cfg.Releases == nil || ctx.Err() != nil {
		return applied
	}
	if state := a.imageNow().State; state == node.StateTrial || state == node.StateBad {
		d, _ := a.now()
		if state == node.StateTrial && applied != nil && running < d.Gate.Ready.Or(readyFor) {
			return applied // It is tried again.
		}
		if err := a.try(ctx, d, applied); err != nil {
			return errors.Join(applied, err)
		}
	}
	err := a.cfg.Releases.Settle(ctx)
	if err == nil {
		err = a.look(ctx)
	}
	if err != nil {
		err = fmt.Errorf("releases: %w", err)
	}
	a.lookForUpdates()
	return errors.Join(applied, err)
}

// try judges the release that runs by the gate of d, which is applied, and
// blesses it or gives it up. The verdict that it is bad is no error, unless
// there is nothing to go back to.
func (a *Agent) try(ctx context.Context, d node.Document, applied error) error {
	err, ready := applied, d.Gate.Ready.Or(readyFor)
	if a.imageNow().State == node.StateBad { // It has had its time, and documents shall get through.
		ready = min(ready, glanceFor)
	}
	switch {
	case err != nil:
	case !a.cfg.Boot.Perm:
		err = errors.New("the writable partition cannot be used")
	default:
		err = health.Gate{
			Ready: ready, Watch: d.Gate.Watch.Or(watchFor),
			Probe: func(ctx context.Context) map[string]health.Report { return a.probe(ctx, d) },
			Told:  func(s string) { a.log.InfoContext(ctx, "the release is on trial", "state", s) },
		}.Wait(ctx)
		if err == nil && a.updates != nil {
			err = a.replaceable(ctx, d)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return a.giveUp(ctx, err.Error())
	}
	if err := a.cfg.Releases.Bless(ctx); err != nil {
		return fmt.Errorf("making release %s good: %w", a.cfg.Release, err)
	}
	a.log.InfoContext(ctx, "the release is good", "release", a.cfg.Release)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.image.State, a.image.Left = node.StateGood, 0
	return nil
}

// giveUp makes the release that runs bad and restarts the machine, which then
// starts the one before it. It returns when the agent is told to end.
func (a *Agent) giveUp(ctx context.Context, reason string) error {
	a.log.WarnContext(ctx, "the release is bad", "release", a.cfg.Release, "reason", reason)
	err := a.cfg.Releases.Condemn(ctx, reason)
	if errors.Is(err, slots.ErrOnly) {
		a.mu.Lock()
		a.image.State, a.image.Left = node.StateBad, 0
		a.mu.Unlock()
		return fmt.Errorf("release %s is bad: %s; %w", a.cfg.Release, reason, err)
	}
	if err != nil { // The boot loader will give it up after some starts.
		a.log.ErrorContext(ctx, "the release could not be made bad", "err", err)
	}
	if err := a.parts.Supervisor.Reboot(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// within is how long a release may take from its start to be found good, if it
// is judged by d.
func within(d node.Document) time.Duration {
	return d.Time.Wait.Or(clockFor) + d.Gate.Ready.Or(readyFor) + d.Gate.Watch.Or(watchFor) + startSlack
}
