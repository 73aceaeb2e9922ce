package dnssec

import "time"

const (
	maxKnown  = 4096            // Names remembered.
	maxRemain = time.Hour       // How long, at most.
	minRemain = 2 * time.Second // How long, at least: RFC 9520, 3.2.
	badRemain = 5 * time.Second // How long a zone without valid keys is.
)

// known is what is remembered of one name: the zone that begins there, or nil
// if none does.
type known struct {
	zone *zone
	ends time.Time
}

// recall returns what is known of a name.
func (v *Validator) recall(name string, now time.Time) (z *zone, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	k, ok := v.known[name]
	if ok && !now.Before(k.ends) {
		delete(v.known, name)
		return nil, false
	}
	return k.zone, ok
}

// remember keeps what was found out about a name for ttl seconds.
func (v *Validator) remember(name string, z *zone, ttl uint32, now time.Time) {
	remain := min(max(time.Duration(ttl)*time.Second, minRemain), maxRemain)
	if z != nil && z.result.Verdict == Bogus {
		remain = badRemain
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.known[name]; !ok && len(v.known) >= maxKnown {
		v.forget()
	}
	v.known[name] = known{z, now.Add(remain)}
}

// forget removes one name: of a few, the one that would be forgotten first.
// Locked.
func (v *Validator) forget() {
	victim, looked := "", 0
	for name, k := range v.known {
		if looked == 0 || k.ends.Before(v.known[victim].ends) {
			victim = name
		}
		if looked++; looked == 8 {
			break
		}
	}
	delete(v.known, victim)
}

// Forget removes what was found to be wrong, so that it is asked for anew.
func (v *Validator) Forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for name, k := range v.known {
		if k.zone != nil && k.zone.result.Verdict == Bogus {
			delete(v.known, name)
		}
	}
}
