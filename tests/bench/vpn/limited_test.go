package vpn_test

import (
	"testing"
	"time"

	"leap.example/services/gateway"
	"leap.example/services/protocol/lease"
)

// sceneLimited measures how much of its rate a limited client gets, and what an
// unlimited one, who takes all that there is, loses by it. The meter is that of
// the data plane in user space.
func sceneLimited(t testing.TB, report reporter) {
	w := newWorld(t)
	g := w.gateway("gateway", nil)
	slow, fast := w.user("limited-helper", lease.Limited, 0), w.user("unlimited-helper", lease.Unlimited, 0)
	slow.through(w, g)
	fast.through(w, g)
	var shares [2][]float64
	var alone, beside []float64
	for range *rounds {
		for i, way := range directions {
			// The neighbour is alone before and after, so that a machine that becomes
			// slower or faster favours neither.
			before := w.carry(fast.Peer, true, *limitTurn).mbit
			l := w.load(slow.Peer, way == "down")
			time.Sleep(min(warmUp, *limitTurn)) // What fits into buffers has arrived.
			begun, n := time.Now(), l.arrived.Load()
			with := w.carry(fast.Peer, true, *limitTurn).mbit
			share := float64(l.arrived.Load()-n) / time.Since(begun).Seconds() / gateway.DefaultRate
			l.stop()
			after := w.carry(fast.Peer, true, *limitTurn).mbit
			alone, beside = append(alone, (before+after)/2), append(beside, with)
			shares[i] = append(shares[i], share)
		}
	}
	t.Logf("neighbour, Mbit/s: alone %.0f, beside %.0f; shares up %.3f, down %.3f", alone, beside, shares[0], shares[1])
	for i, way := range directions {
		report(median(shares[i]), way+"-share")
	}
	report(median(alone), "neighbour-alone-Mbit/s")
	report(median(beside), "neighbour-beside-Mbit/s")
	report(ratio(median(beside), median(alone)), "neighbour-share")
}
