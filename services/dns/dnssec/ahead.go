package dnssec

import (
	"context"
	"sync"

	"github.com/miekg/dns"
)

// maxAhead bounds the questions asked at once.
const maxAhead = 12

// ahead asks, all at once, for what the walk down to the zone by will want to
// know, so that it takes one round trip and not two for each zone. What cannot
// be had is asked for again when it is its turn.
func (w *walk) ahead(ctx context.Context, by string) {
	anchor, trusted := w.closest(by)
	if !trusted {
		return
	}
	var wants []setKey
	if _, ok := w.recall(anchor, w.now); !ok {
		wants = append(wants, setKey{anchor, dns.TypeDNSKEY})
	}
	for at := anchor; at != by; {
		at = toward(at, by)
		z, ok := w.recall(at, w.now)
		if ok && z != nil && z.result.Verdict != Secure {
			return // The walk ends here.
		}
		if !ok {
			wants = append(wants, setKey{at, dns.TypeDS}, setKey{at, dns.TypeDNSKEY})
		}
	}
	if len(wants) > maxAhead {
		return // No ordinary name.
	}
	got := make([]*dns.Msg, len(wants))
	var wg sync.WaitGroup
	for i, k := range wants {
		if w.fetched[k] != nil || !take(&w.budget.questions) {
			continue
		}
		wg.Go(func() {
			if m, err := w.ask.Ask(ctx, k.name, k.rtype); err == nil {
				got[i] = m
			}
		})
	}
	wg.Wait()
	for i, k := range wants {
		if got[i] != nil {
			w.fetched[k] = got[i]
		}
	}
}
