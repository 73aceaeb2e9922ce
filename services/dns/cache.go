package dns

import (
	"sync"
	"time"

	"github.com/miekg/dns"

	"leap.example/services/dns/dnssec"
)

const (
	maxPositive = time.Hour        // The longest that an answer is kept.
	maxNegative = 5 * time.Minute  // The longest that the absence of one is kept: RFC 2308, 5.
	keepFailure = time.Second      // RFC 9520, 3.2: at least that long.
	keepBogus   = 30 * time.Second // What is forged may be put right: RFC 9520, 3.2.
	maxCached   = 4096             // Octets of an answer that is kept.
	staleTTL    = 30               // Of an answer whose time is over: RFC 8767, 4.
	staleQuiet  = 5 * time.Second  // Before it is tried again to replace it: RFC 8767, 5.
)

// A key is what two equal questions share.
type key struct {
	name  string // Canonical.
	qtype uint16
	cd    bool // Nobody validates, because the client wants to.
}

// A finding is what was found out about a question. It does not change.
type finding struct {
	msg    *dns.Msg // With signatures and proofs; of a failure, the code alone.
	result dnssec.Result
	failed bool // There is no answer.
	code   int  // To tell the client, RFC 8914; noCode: none.
}

const noCode = -1

// A cache keeps a bounded number of answers for a bounded time.
type cache struct {
	max   int
	stale time.Duration // How long after its time an answer is kept.

	mu      sync.Mutex
	entries map[key]entry
}

type entry struct {
	finding
	since, ends time.Time
	quiet       time.Time // Nobody was there to replace it: until then nobody is asked.
}

func newCache(size int, stale time.Duration) *cache {
	if size == 0 {
		size = 4096
	}
	return &cache{max: size, stale: stale, entries: map[key]entry{}}
}

// get returns what is known of k, with a copy of the answer whose TTLs have run
// down to t.
func (c *cache) get(k key, t time.Time) (finding, bool) {
	c.mu.Lock()
	e, ok := c.entries[k]
	if ok && !t.Before(e.ends.Add(c.stale)) {
		delete(c.entries, k)
	}
	c.mu.Unlock()
	if ok && !t.Before(e.ends) && t.Before(e.quiet) {
		return e.stale(), true
	}
	if !ok || !t.Before(e.ends) {
		return finding{}, false
	}
	age := uint32(t.Sub(e.since) / time.Second)
	e.msg = withTTL(e.msg, func(ttl uint32) uint32 { return ttl - min(age, ttl) })
	return e.finding, true
}

// late returns what was known of k and may still be given at t, when nobody
// answers; for a while nobody is asked again.
func (c *cache) late(k key, t time.Time) (finding, bool) {
	c.mu.Lock()
	e, ok := c.entries[k]
	if ok = ok && t.Before(e.ends.Add(c.stale)); ok {
		e.quiet = t.Add(staleQuiet)
		if limit := e.ends.Add(c.stale); limit.Before(e.quiet) {
			e.quiet = limit
		}
		c.entries[k] = e
	}
	c.mu.Unlock()
	if !ok {
		return finding{}, false
	}
	return e.stale(), true
}

// stale returns the finding as it is given when its time is over.
func (e entry) stale() finding {
	e.msg = withTTL(e.msg, func(uint32) uint32 { return staleTTL })
	e.code = int(dns.ExtendedErrorCodeStaleAnswer)
	return e.finding
}

// withTTL returns a copy of m with other TTLs.
func withTTL(m *dns.Msg, change func(uint32) uint32) *dns.Msg {
	m = m.Copy()
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		for _, rr := range section {
			rr.Header().Ttl = change(rr.Header().Ttl)
		}
	}
	return m
}

// put keeps f as what is known of k, if it may be kept. The caller no longer
// changes it. A failure does not replace an answer that may be given late.
func (c *cache) put(k key, f finding, t time.Time) {
	life := lifeOf(f)
	if life <= 0 || f.msg.Len() > maxCached {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old, ok := c.entries[k]
	if ok && f.failed && !old.failed && t.Before(old.ends.Add(c.stale)) {
		return
	}
	if !ok && len(c.entries) >= c.max {
		c.evict()
	}
	c.entries[k] = entry{finding: f, since: t, ends: t.Add(life)}
}

// evict removes the entry that ends first among a few: the order of a map's
// iteration is as good as random.
func (c *cache) evict() {
	var victim key
	var ends time.Time
	looked := 0
	for k, e := range c.entries {
		if looked == 0 || e.ends.Before(ends) {
			victim, ends = k, e.ends
		}
		if looked++; looked == 8 {
			break
		}
	}
	delete(c.entries, victim)
}

// lifeOf returns how long a finding may be kept.
func lifeOf(f finding) time.Duration {
	m := f.msg
	switch {
	case f.failed:
		return keepFailure
	case f.result.Verdict == dnssec.Bogus:
		return keepBogus
	}
	life := maxPositive
	if m.Rcode == dns.RcodeNameError || !answered(m) {
		life = 0 // RFC 2308, 5: without a SOA it is not kept.
		for _, rr := range m.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				life = min(time.Duration(min(soa.Hdr.Ttl, soa.Minttl))*time.Second, maxNegative)
				break
			}
		}
	}
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		for _, rr := range section {
			life = min(life, time.Duration(rr.Header().Ttl)*time.Second)
		}
	}
	return life
}

// answered reports whether the answer of m ends with what was asked for.
func answered(m *dns.Msg) bool {
	for _, rr := range m.Answer {
		if len(m.Question) == 1 && rr.Header().Rrtype == m.Question[0].Qtype {
			return true
		}
	}
	return false
}
