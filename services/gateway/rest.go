package gateway

import (
	"maps"
	"slices"
	"time"
)

// A rest is of a place whose lease has ended.
type rest struct {
	owner owner // Who had it; nobody knows after a restart.
	until time.Time
	flows bool // The data plane has not forgotten them.
}

// A freePlace may be given out from a time on.
type freePlace struct {
	place int
	from  time.Time
}

// own returns where in the free list a place is that rests after a lease of the
// same owner, or -1. It may have it again at once: late packets are its own. So
// leases that come and go take no more places than those that stay.
func (t *table) own(o owner, now time.Time) int {
	for place, r := range t.rests {
		if r.owner == o && now.Before(r.until) {
			return slices.IndexFunc(t.free, func(f freePlace) bool { return f.place == place })
		}
	}
	return -1
}

// resting returns how many places rest after leases of an owner.
func (t *table) resting(o owner, now time.Time) (n int) {
	for _, r := range t.rests {
		if r.owner == o && now.Before(r.until) {
			n++
		}
	}
	return n
}

// taken returns how many places nobody new gets now: those of leases, and those
// that rest.
func (t *table) taken(now time.Time) int {
	n := len(t.rows)
	for _, r := range t.rests {
		if r.flows || now.Before(r.until) {
			n++
		}
	}
	return n
}

// wake forgets who had the places that have rested.
func (t *table) wake(now time.Time) {
	maps.DeleteFunc(t.rests, func(_ int, r rest) bool { return !r.flows && !now.Before(r.until) })
}

// flowing returns the places whose flows are to be forgotten.
func (t *table) flowing() map[int]rest {
	list := maps.Clone(t.rests)
	maps.DeleteFunc(list, func(_ int, r rest) bool { return !r.flows })
	return list
}

// forgot has the flows of places be forgotten, if they still rest as they did.
func (t *table) forgot(places map[int]rest) {
	for place, was := range places {
		if r, ok := t.rests[place]; ok && r == was {
			r.flows = false
			t.rests[place] = r
		}
	}
}
