package machine

import "time"

// handshake is the moment at which the present route is known to work.
func (t *turn) handshake() {
	if t.Lease == nil || t.Phase != Connecting && t.Phase != Reconnecting {
		return
	}
	t.Phase, t.Deadline, t.Problem = Connected, time.Time{}, ""
	t.tries, t.pauses, t.avoided, t.fresh, t.checked = 0, 0, "", false, false
	if t.asking != discovery && t.asking != measuring { // Which the user may have asked for.
		t.asking = nothing
	}
	t.renewAt()
}

// renewAt sets when the lease is renewed: nobody is asked twice a minute.
func (t *turn) renewAt() {
	t.renew = t.Lease.RenewAfter
	if soonest := t.now.Add(renewPause); t.renew.Before(soonest) {
		t.renew = soonest
	}
}

// silent leaves Connected: the same route once more, while the gateway is
// asked whether it still knows us.
func (t *turn) silent() {
	t.Phase, t.tries, t.fresh = Reconnecting, 0, false
	t.try(t.Route)
	t.renewLease(check)
}

// nextRoute is called when a handshake has not come in time.
func (t *turn) nextRoute() {
	t.tries++
	switch {
	case t.tries < min(len(t.Lease.Routes), maxTries):
		t.try(t.Route + 1)
	case !t.fresh:
		t.enroll(t.Lease.Gateway, true)
	default:
		t.leave(t.Lease.Gateway.Name, "the gateway gives a lease, but its tunnel does not answer: the network may block it")
	}
}

// leave turns from the gateway called name to the next one.
func (t *turn) leave(name, problem string) {
	t.avoided, t.Problem = name, problem
	if t.At < len(t.Gateways) && t.Gateways[t.At].Name == name {
		t.At++
	}
	switch {
	case !t.known: // After a warm start only one gateway is known.
		t.discover()
	case t.At < min(len(t.Gateways), Candidates):
		t.enroll(t.Gateways[t.At], false)
	default:
		t.giveUp(problem)
	}
}

// giveUp blocks for a while.
func (t *turn) giveUp(problem string) {
	pause := min(minPause<<min(t.pauses, 10), maxPause)
	t.pauses++
	t.Phase, t.Problem, t.Deadline = Blocked, problem, t.now.Add(pause)
	t.Lease, t.Route, t.asking = nil, 0, nothing
}

// expired ends a lease whose time is over.
func (t *turn) expired() {
	t.Lease, t.Route, t.Deadline = nil, 0, time.Time{}
	if t.asking == nothing || t.asking == renewal || t.asking == check {
		t.pauses = 0
		t.giveUp("the lease of the gateway is over; a new one is asked for")
		t.Deadline = t.now
	} else if t.Phase == Connected { // Something better is on its way.
		t.Phase = Reconnecting
	}
}

// found begins with the best candidate, unless its tunnel is up already.
func (t *turn) found(e Found) {
	if len(e.Gateways) == 0 {
		t.failed(Failed{Fault: Forbidden, Problem: "the provider has no gateway that fits: see leapc vpn gateways, leapc vpn use auto"})
		return
	}
	t.Gateways, t.At, t.known = e.Gateways[:min(len(e.Gateways), MaxMeasured)], 0, true
	if e.Measure && t.asking == discovery && len(t.Gateways) > 1 {
		t.actions = append(t.actions, Measure{Seq: t.ask(measuring), Gateways: t.Gateways})
		return
	}
	t.asking = nothing
	if t.Phase == Connected && t.Lease.Gateway.Name == t.Gateways[0].Name {
		return
	}
	t.enroll(t.Gateways[0], false)
}

// granted takes a lease into use.
func (t *turn) granted(e Granted) {
	if !e.Lease.valid(t.now) || len(e.Lease.Routes) == 0 {
		t.failed(Failed{Fault: Unwilling, Problem: "the gateway gave a lease that is over already: compare this computer's clock with the time"})
		return
	}
	was := t.asking
	t.asking, t.Lease, t.fresh = nothing, e.Lease, !e.Cached
	if was == renewal || was == check {
		t.Route %= len(e.Lease.Routes)
		t.renewAt()
		return
	}
	if t.Phase == Connected {
		t.Phase = Reconnecting
	}
	t.tries, t.checked = 0, false
	t.try(0)
}

// failed does what the failure of the present request means.
func (t *turn) failed(e Failed) {
	was := t.asking
	t.asking = nothing
	switch {
	case was == measuring:
		t.found(Found{Gateways: t.Gateways}) // In the order that is known.
	case was == check && e.Fault == Unwilling:
		// It answers, so it lives: go on with the routes.
	case (was == renewal || was == check) && e.Fault == Gone:
		if t.Phase == Connected {
			t.Phase = Reconnecting
		}
		t.enroll(t.Lease.Gateway, true)
	case was == check:
		t.leave(t.Lease.Gateway.Name, e.Problem)
	case t.Phase == Connected: // What there is works.
		t.Problem = e.Problem
		t.renew = t.now.Add(renewPause)
	case was == discovery || e.Fault == Forbidden:
		t.giveUp(e.Problem)
	default:
		t.leave(t.enrolled, e.Problem)
	}
}
