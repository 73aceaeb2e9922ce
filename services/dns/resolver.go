package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

const (
	perTry   = 2 * time.Second // For one upstream and transport.
	perQuery = 5 * time.Second // For all of them.
)

var errNoUpstreams = errors.New("no upstreams")

// A resolver answers from the own zones, the cache and the upstreams.
type resolver struct {
	zones     zones
	upstreams []string
	allow     []netip.Prefix
	cache     *cache
	flights   singleflight.Group
}

func newResolver(cfg ConfigResolver, zs zones) *resolver {
	return &resolver{zones: zs, upstreams: cfg.Upstreams, allow: cfg.Allow, cache: newCache(cfg.CacheEntries)}
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

// answer answers one query.
func (r *resolver) answer(ctx context.Context, q query) *dns.Msg {
	reply := q.reply()
	reply.RecursionAvailable = true
	question := q.msg.Question[0]
	name := dns.CanonicalName(question.Name)
	switch {
	case question.Qtype == dns.TypeANY:
		reply.Answer = append(reply.Answer, minimalAny(question.Name))
		return reply
	case special(name):
		reply.Rcode = dns.RcodeNameError
		return reply
	}
	own := r.zones.answer(reply)
	if own {
		last := len(reply.Answer) - 1
		alias, ok := dns.RR(nil), false
		if last >= 0 && reply.Rcode == dns.RcodeSuccess && question.Qtype != dns.TypeCNAME {
			alias, ok = reply.Answer[last], reply.Answer[last].Header().Rrtype == dns.TypeCNAME
		}
		if !ok {
			return reply
		}
		name = alias.(*dns.CNAME).Target // It leads out of the own zones.
	}
	k := key{name, question.Qtype, q.do(), q.msg.CheckingDisabled}
	found := r.cache.get(k, time.Now())
	if found == nil {
		found = r.ask(ctx, k)
	}
	reply.Rcode = found.Rcode
	reply.Answer = append(reply.Answer, found.Answer...)
	reply.Ns = found.Ns
	reply.Authoritative = false
	return reply
}

// special reports whether name is one that must not be asked upstream: the
// question alone would tell (RFC 7686, 2; RFC 6762, 22.1; RFC 6761, 6.4).
func special(name string) bool {
	for _, tld := range []string{"onion.", "local.", "invalid."} {
		if name == tld || strings.HasSuffix(name, "."+tld) {
			return true
		}
	}
	return false
}

// ask asks the upstreams and keeps the answer. Equal questions share one
// exchange. It never fails: the answer may be SERVFAIL. The message is the
// caller's.
func (r *resolver) ask(ctx context.Context, k key) *dns.Msg {
	v, _, _ := r.flights.Do(fmt.Sprint(k), func() (any, error) {
		ctx, cancel := context.WithTimeout(ctx, perQuery)
		defer cancel()
		m, err := r.forward(ctx, k)
		if err != nil {
			m = new(dns.Msg)
			m.Rcode = dns.RcodeServerFailure
		}
		r.cache.put(k, m, time.Now())
		return m, nil
	})
	return v.(*dns.Msg).Copy()
}

// forward asks one upstream after the other until one knows.
func (r *resolver) forward(ctx context.Context, k key) (*dns.Msg, error) {
	err := errNoUpstreams
	for _, upstream := range r.upstreams {
		var m *dns.Msg
		m, err = exchange(ctx, "udp", upstream, k)
		if err == nil && m.Truncated {
			m, err = exchange(ctx, "tcp", upstream, k)
		}
		if err != nil {
			continue
		}
		if m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError {
			return m, nil
		}
		err = fmt.Errorf("upstream answered %s", dns.RcodeToString[m.Rcode])
	}
	return nil, err
}

// exchange makes one exchange over a connection of its own: the kernel gives
// it a random port, and a connected socket takes answers from its peer alone.
func exchange(ctx context.Context, network, upstream string, k key) (*dns.Msg, error) {
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, perTry)
	defer cancel()
	conn, err := d.DialContext(ctx, network, upstream)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	m, err := k.query()
	if err != nil {
		return nil, err
	}
	dc := &dns.Conn{Conn: conn, UDPSize: maxUDP}
	if err := dc.WriteMsg(m); err != nil {
		return nil, err
	}
	for {
		reply, err := dc.ReadMsg()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil && (network == "tcp" || reply == nil) {
			return nil, err
		}
		// What is no answer to this question is a forgery or a stray: wait on.
		if err == nil && reply.Response && reply.Id == m.Id && len(reply.Question) == 1 && sameQuestion(reply.Question[0], m.Question[0]) {
			return reply, nil
		}
	}
}

// query returns the message that asks k upstream.
func (k key) query() (*dns.Msg, error) {
	var id [2]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	m := new(dns.Msg).SetQuestion(k.name, k.qtype)
	m.Id = binary.BigEndian.Uint16(id[:])
	m.CheckingDisabled = k.cd
	return m.SetEdns0(maxUDP, k.do), nil
}

func sameQuestion(a, b dns.Question) bool {
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}
