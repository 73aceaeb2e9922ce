package dns

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"

	"leap.example/services/dns/dnssec"
	"leap.example/services/dns/upstream"
)

// A resolver answers from the own zones, the cache and the upstreams.
type resolver struct {
	zones     zones
	allow     []netip.Prefix
	private   []string // Names of zones that are asked for in any event.
	upstreams *upstream.Set
	validator *dnssec.Validator // nil: nothing is validated.
	cache     *cache
	flights   singleflight.Group
	log       *slog.Logger
	forged    atomic.Int32 // Answers in a row that could not be validated.
}

// newResolver returns a resolver for cfg, which is valid.
func newResolver(cfg ConfigResolver, zs zones, log *slog.Logger) (*resolver, error) {
	upstreams, err := cfg.upstreams()
	if err != nil {
		return nil, err
	}
	validator, err := cfg.validator()
	if err != nil {
		return nil, err
	}
	r := &resolver{
		zones: zs, allow: cfg.Allow, validator: validator, log: log,
		upstreams: upstream.New(upstreams, cfg.CAFile, log),
		cache:     newCache(cfg.CacheEntries, time.Duration(cfg.Stale)*time.Second),
	}
	for _, name := range cfg.Private {
		r.private = append(r.private, dns.CanonicalName(name))
	}
	return r, nil
}

// admit reports whether addr may ask.
func (r *resolver) admit(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if len(r.allow) == 0 {
		return addr.IsLoopback()
	}
	for _, p := range r.allow {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// quick answers a query for which nobody has to be asked; nil: it is none.
func (r *resolver) quick(q query) *dns.Msg {
	reply, k, own := r.local(q)
	if k.name == "" {
		return reply
	}
	f, ok := r.known(k)
	if !ok {
		return nil
	}
	q.fill(reply, f, own)
	return reply
}

// answer answers a query, asking the upstreams.
func (r *resolver) answer(ctx context.Context, q query) *dns.Msg {
	reply, k, own := r.local(q)
	if k.name != "" {
		q.fill(reply, r.ask(ctx, k), own)
	}
	return reply
}

// local begins the reply to a query with what is not anybody else's: own says
// that there is something of that, k is what else has to be found out, and its
// name is empty if nothing is.
func (r *resolver) local(q query) (reply *dns.Msg, k key, own bool) {
	reply = q.reply()
	reply.RecursionAvailable = true
	reply.CheckingDisabled = q.msg.CheckingDisabled // RFC 4035, 3.2.2.
	question := q.msg.Question[0]
	name := dns.CanonicalName(question.Name)
	switch {
	case question.Qtype == dns.TypeANY:
		reply.Answer = append(reply.Answer, minimalAny(question.Name))
		return reply, key{}, false
	case question.Qtype == dns.TypeRRSIG: // Signatures come with what they sign.
		reply.Rcode = dns.RcodeRefused
		explain(reply, int(dns.ExtendedErrorCodeInvalidQueryType))
		return reply, key{}, false
	}
	if own = r.zones.answer(reply); own {
		if name = leadsOut(reply, question.Qtype); name == "" {
			return reply, key{}, true
		}
	}
	if special(name) && !r.isPrivate(name) {
		reply.Rcode = dns.RcodeNameError
		return reply, key{}, own
	}
	return reply, key{name, question.Qtype, q.msg.CheckingDisabled}, own
}

// leadsOut returns the name out of the own zones that an answer of theirs is an
// alias of, or "".
func leadsOut(reply *dns.Msg, qtype uint16) string {
	if len(reply.Answer) == 0 || reply.Rcode != dns.RcodeSuccess || qtype == dns.TypeCNAME {
		return ""
	}
	alias, ok := reply.Answer[len(reply.Answer)-1].(*dns.CNAME)
	if !ok {
		return ""
	}
	return alias.Target
}

func (r *resolver) isPrivate(name string) bool {
	return slices.ContainsFunc(r.private, func(zone string) bool { return dns.IsSubDomain(zone, name) })
}

// known returns what is known of k.
func (r *resolver) known(k key) (finding, bool) {
	now := time.Now()
	if k.cd {
		// What was validated is good for who validates, too.
		if f, ok := r.cache.get(key{k.name, k.qtype, false}, now); ok && !f.failed && f.result.Verdict != dnssec.Bogus {
			return f, true
		}
	}
	return r.cache.get(k, now)
}
