package vpn

import (
	"context"
	"reflect"
	"sync"
	"time"

	"leap.example/client/vpn/machine"
	"leap.example/client/vpn/policy"
)

const (
	applyTimeout = 15 * time.Second
	applyPause   = 2 * time.Second        // Before what could not be applied is tried again.
	fastPace     = 100 * time.Millisecond // While a handshake is waited for.
	slowPace     = time.Second
	// freshHandshake is how old the handshake of a session that is in use may
	// be (REKEY_AFTER_TIME).
	freshHandshake = 2 * time.Minute
	idlePace       = time.Hour       // Nothing to watch.
	beginPause     = 5 * time.Second // Before the Path is opened again.
	adoptPause     = time.Minute     // Before the helper is looked for again.
)

// A loop is what Run's goroutine owns.
type loop struct {
	*VPN
	state   machine.State
	events  chan machine.Event // Answers to actions.
	applied *policy.Policy     // By the Path that is open. Nil: not known.
	retry   time.Time          // When applying may be tried again. Zero: now.
	watch   watch
	net     network
	cancel  context.CancelFunc // Of the present action.
	actions sync.WaitGroup
	since   time.Time // Of the phase.
	shown   shown     // Of the lease in use.
	later   time.Time // When the Path is to be opened again. Zero: not at all.
	damaged bool      // The settings could not be read.
	broken  string    // Why the settings are not to be believed.
	outside string    // The traffic while no Path is open.
	epoch   uint64    // Of the Path that has applied. 0: not known, or there are none.
}

// stop ends what runs beside the loop. The state is not changed: where the
// helper guards the traffic it stays as blocked as it was.
func (l *loop) stop() {
	if l.cancel != nil {
		l.cancel()
	}
	l.actions.Wait()
	l.closeKeeper()
	if err := l.shut(); err != nil {
		l.log.Warn("the path of the traffic did not close", "err", err)
	}
}

// up connects, from whatever is kept.
func (l *loop) up(ctx context.Context) error {
	if err := l.open(ctx); err != nil {
		return errNoHelper(err)
	}
	e := machine.Up{Services: l.services(ctx)}
	if g, ok := l.leaseOf(l.fits); ok {
		if lease, err := l.usable(g); err == nil {
			e.Lease = lease
		}
	}
	l.step(ctx, e)
	return nil
}

// step takes an event, makes the new policy true, and begins the actions.
func (l *loop) step(ctx context.Context, e machine.Event) {
	before := l.state
	var actions []machine.Action
	l.state, actions = l.state.Step(time.Now(), e)
	l.noticed(before)
	l.apply(ctx)
	for _, a := range actions {
		if l.cancel != nil {
			l.cancel()
		}
		acting, cancel := context.WithCancel(ctx)
		l.cancel = cancel
		l.actions.Go(func() {
			defer cancel()
			answer := l.act(acting, a)
			select {
			case l.events <- answer:
			case <-acting.Done():
			}
		})
	}
}

// noticed is what a change of the phase means for what is watched.
func (l *loop) noticed(before machine.State) {
	if before.Phase == l.state.Phase {
		return
	}
	l.since = time.Now()
	l.log.Debug("the VPN has changed", "state", l.state.Phase.String())
	switch l.state.Phase {
	case machine.Connected:
		l.worked()
	case machine.Reconnecting:
		l.watch.restart(l.since)
	}
}

// apply makes the policy of the state true, if it is not.
func (l *loop) apply(ctx context.Context) {
	w := l.way.Load()
	if w == nil || time.Now().Before(l.retry) {
		return
	}
	next := l.state.Policy()
	if l.applied != nil && reflect.DeepEqual(next, *l.applied) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	begin := time.Now()
	if l.applied == nil { // Should the helper end from here on, look will notice.
		if s, err := w.Stats(ctx); err == nil {
			l.epoch = s.Epoch
		}
	}
	if err := w.Apply(ctx, next); err != nil {
		l.log.Warn("the traffic's policy could not be applied", "mode", next.Mode.String(), "err", err)
		l.retry = time.Now().Add(applyPause)
		l.state, _ = l.state.Step(time.Now(), machine.Unapplied{Problem: "this computer's traffic could not be switched: " + err.Error()})
		return
	}
	if l.applied == nil { // The tunnel may have been there before this daemon, and then shakes no hands for this.
		begin = begin.Add(-freshHandshake)
	}
	if otherTunnel(l.applied, next.Tunnel) {
		l.watch.restart(begin)
	}
	w.told.Store(true)
	l.applied, l.retry = &next, time.Time{}
	if next.Mode == policy.Open { // Nothing is left to do.
		if err := l.shut(); err != nil {
			l.log.Warn("the path of the traffic did not close", "err", err)
		}
	}
}

// open opens the Path that the settings name, unless it is open.
func (l *loop) open(ctx context.Context) error {
	s := l.prefs.Load()
	if w := l.way.Load(); w != nil {
		if w.proxy == s.Proxy {
			return nil
		}
		if err := l.shut(); err != nil {
			return err
		}
	}
	path, err := l.newPath(ctx, s.Proxy)
	if err != nil {
		return err
	}
	l.way.Store(&way{Path: path, proxy: s.Proxy})
	return nil
}

// shut closes the Path, if one is open.
func (l *loop) shut() error {
	l.applied, l.retry, l.epoch, l.outside = nil, time.Time{}, 0, policy.Open.String()
	w := l.way.Swap(nil)
	if w == nil {
		return nil
	}
	return w.Close()
}

// otherTunnel reports whether b needs a handshake of its own after before.
func otherTunnel(before *policy.Policy, b *policy.Link) bool {
	if b == nil {
		return false
	}
	if before == nil || before.Tunnel == nil {
		return true
	}
	a := before.Tunnel
	return a.PrivateKey != b.PrivateKey || a.PeerKey != b.PeerKey ||
		a.Endpoint != b.Endpoint || (a.Wrap == nil) != (b.Wrap == nil)
}

// tick looks at the clock, the tunnel and the network.
func (l *loop) tick(ctx context.Context) {
	now := time.Now()
	if !l.later.IsZero() && !now.Before(l.later) {
		l.begin(ctx)
	}
	if l.way.Load() == nil {
		return
	}
	if e := l.look(ctx, now); e != nil { // First: no second handshake would follow soon.
		l.step(ctx, e)
	}
	if l.net.changed(now, l.cfg.Network) {
		l.watch.restart(now)
		l.step(ctx, machine.Network{})
	}
	l.step(ctx, machine.Tick{})
}

// pace is how long nothing need be looked at.
func (l *loop) pace() time.Duration {
	switch {
	case l.way.Load() == nil && l.later.IsZero():
		return idlePace
	case l.way.Load() == nil:
		return max(time.Until(l.later), fastPace)
	case l.tunnelled() && l.state.Phase != machine.Connected:
		return fastPace
	}
	return slowPace
}

// tunnelled reports whether there is a tunnel to look at.
func (l *loop) tunnelled() bool { return l.applied != nil && l.applied.Mode == policy.Tunnel }
