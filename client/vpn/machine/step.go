package machine

import (
	"slices"
	"time"

	"leap.example/client/vpn/policy"
)

// Step returns the state after e and what is to be done.
func (s State) Step(now time.Time, e Event) (State, []Action) {
	t := turn{State: s, now: now.Round(0)} // Without the monotonic clock, which stops while suspended.
	t.take(e)
	t.due()
	return t.State, t.actions
}

// A turn is one Step at work.
type turn struct {
	State
	now     time.Time
	actions []Action
}

// take does what e asks for.
func (t *turn) take(e Event) {
	switch e := e.(type) {
	case Up:
		t.up(e)
	case Down:
		t.down()
	case Set:
		t.set(e.Options)
	case OpenPortal:
		t.portal(e.Portal)
	case Choose:
		if t.Phase != Disconnected {
			t.avoided = ""
			t.discover()
		}
	case Found:
		if t.Asking(e.Seq) && (t.asking == discovery || t.asking == measuring) {
			t.found(e)
		}
	case Granted:
		if t.Asking(e.Seq) && t.asking != discovery && t.asking != measuring {
			t.granted(e)
		}
	case Failed:
		if t.Asking(e.Seq) {
			t.failed(e)
		}
	case Handshake:
		t.handshake()
	case Silent:
		if t.Phase == Connected {
			t.silent()
		}
	case Unapplied:
		if t.Phase == Blocked || t.Phase == Disconnected {
			t.Problem = e.Problem
		} else {
			t.giveUp(e.Problem)
		}
	case Network:
		t.network()
	}
}

// due does what the clock asks for.
func (t *turn) due() {
	if t.Portal != nil && (!t.now.Before(t.Portal.Until) || t.Phase == Disconnected && !t.Options.Lockdown) {
		t.Portal = nil
	}
	if t.Lease != nil && !t.Lease.valid(t.now) {
		t.expired()
	}
	switch {
	case t.Phase == Disconnected:
	case t.asking != nothing && !t.now.Before(t.answer):
		t.failed(Failed{Fault: Unreachable, Problem: "no answer in time: check the network"})
	case t.Phase == Blocked && t.asking == nothing && !t.now.Before(t.Deadline):
		t.begin()
	case t.Phase == Connected && t.asking == nothing && !t.now.Before(t.renew):
		t.renewLease(renewal)
	case (t.Phase == Connecting || t.Phase == Reconnecting) && !t.Deadline.IsZero() && !t.now.Before(t.Deadline):
		t.nextRoute()
	case (t.Phase == Connecting || t.Phase == Reconnecting) && !t.Deadline.IsZero() && !t.fresh && !t.checked &&
		t.asking == nothing && !t.now.Before(t.Deadline.Add(checkAfter-HandshakeTimeout)):
		t.renewLease(check)
	}
}

func (t *turn) up(e Up) {
	t.Services = e.Services
	if t.Phase != Disconnected {
		t.network()
		return
	}
	if e.Lease.valid(t.now) {
		t.Lease, t.Gateways = e.Lease, []Gateway{e.Lease.Gateway}
	}
	t.begin()
}

// network makes use of a chance: what failed may work now.
func (t *turn) network() {
	switch {
	case t.Phase == Blocked:
		t.pauses, t.Deadline = 0, t.now
	case t.Lease != nil && t.asking == nothing && (t.Phase == Connecting || t.Phase == Reconnecting):
		t.tries = 0
		t.try(t.Route)
	}
}

// set takes over options that can be a policy.
func (t *turn) set(o Options) {
	o.Exclude = slices.DeleteFunc(slices.Clone(o.Exclude), func(uid uint32) bool { return uid == 0 })
	o.Exclude = o.Exclude[:min(len(o.Exclude), policy.MaxExclude)]
	t.Options = o
}

// portal opens or closes the portal window; due closes one that makes no sense.
func (t *turn) portal(p *policy.Portal) {
	t.Portal = nil
	if p == nil || p.UID == 0 {
		return
	}
	w := *p
	if latest := t.now.Add(policy.MaxPortal); w.Until.After(latest) {
		w.Until = latest
	}
	t.Portal = &w
}

// down forgets everything but what the user decided.
func (t *turn) down() {
	t.State = State{Options: t.Options, Portal: t.Portal, seq: t.seq}
}

// begin connects by the lease that there is, or looks for gateways.
func (t *turn) begin() {
	t.Phase = Connecting
	if t.Lease != nil {
		t.try(0)
		return
	}
	t.discover()
}

// ask makes a request the one whose answer is awaited, and returns its number.
func (t *turn) ask(what asked) uint64 {
	t.seq++
	t.asking, t.answer = what, t.now.Add(answerTimeout)
	return t.seq
}

func (t *turn) discover() {
	t.Deadline = time.Time{}
	t.actions = append(t.actions, Discover{Seq: t.ask(discovery), Avoid: t.avoided})
}

func (t *turn) enroll(gateway Gateway, fresh bool) {
	t.Deadline, t.enrolled = time.Time{}, gateway.Name // The old tunnel may come back, but no try is counted.
	t.actions = append(t.actions, Enroll{Seq: t.ask(enrolment), Gateway: gateway, New: fresh})
}

func (t *turn) renewLease(why asked) {
	t.checked = true
	t.actions = append(t.actions, Renew{Seq: t.ask(why), Lease: t.Lease})
}

// try begins to use the lease by one of its routes.
func (t *turn) try(route int) {
	t.Route = route % len(t.Lease.Routes)
	t.Deadline = t.now.Add(HandshakeTimeout)
}
