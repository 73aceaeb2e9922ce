package dns

import (
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	maxPositive = time.Hour       // The longest that an answer is kept.
	maxNegative = 5 * time.Minute // The longest that the absence of one is kept: RFC 2308, 5.
	keepFailure = time.Second     // RFC 9520, 3.2: at least that long.
	maxCached   = 4096            // Octets of an answer that is kept.
)

// A key is what two equal questions share.
type key struct {
	name   string // Canonical.
	qtype  uint16
	do, cd bool
}

// A cache keeps a bounded number of answers for a bounded time.
type cache struct {
	max int

	mu      sync.Mutex
	entries map[key]entry
}

type entry struct {
	msg         *dns.Msg // Never changed once it is here.
	since, ends time.Time
}

func newCache(size int) *cache {
	if size == 0 {
		size = 4096
	}
	return &cache{max: size, entries: map[key]entry{}}
}

// get returns a copy of the answer to k whose TTLs have run down to t, or nil.
func (c *cache) get(k key, t time.Time) *dns.Msg {
	c.mu.Lock()
	e, ok := c.entries[k]
	if ok && !t.Before(e.ends) {
		delete(c.entries, k)
		ok = false
	}
	c.mu.Unlock()
	if !ok {
		return nil
	}
	m, age := e.msg.Copy(), uint32(t.Sub(e.since)/time.Second)
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT {
				h.Ttl -= min(age, h.Ttl)
			}
		}
	}
	return m
}

// put keeps m as the answer to k, if it may be kept. The caller no longer
// changes m.
func (c *cache) put(k key, m *dns.Msg, t time.Time) {
	life := lifeOf(m)
	if life <= 0 || m.Len() > maxCached {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[k]; !ok && len(c.entries) >= c.max {
		c.evict()
	}
	c.entries[k] = entry{m, t, t.Add(life)}
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

// lifeOf returns how long an answer may be kept.
func lifeOf(m *dns.Msg) time.Duration {
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return keepFailure
	}
	if m.Rcode == dns.RcodeNameError || len(m.Answer) == 0 {
		for _, rr := range m.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				return min(time.Duration(min(soa.Hdr.Ttl, soa.Minttl))*time.Second, maxNegative)
			}
		}
		return 0 // RFC 2308, 5: without a SOA it is not kept.
	}
	life := maxPositive
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		for _, rr := range section {
			life = min(life, time.Duration(rr.Header().Ttl)*time.Second)
		}
	}
	return life
}
