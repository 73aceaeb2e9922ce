package sender

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/emersion/go-msgauth/dmarc"
	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// A policy is what the author's domain publishes.
type policy struct {
	author string // The domain in the From field.
	record *dmarc.Record
	want   dmarc.Policy // The record's policy for author.
	err    error        // Why there is no record.
}

// An identity is a domain and what a check says of it.
type identity struct{ domain, result string }

// policy finds the record of a domain, RFC 7489, 6.6.3.
func (c *Checker) policy(ctx context.Context, author string) policy {
	options := &dmarc.LookupOptions{LookupTXT: func(name string) ([]string, error) { return c.dns.LookupTXT(ctx, name) }}
	p := policy{author: author}
	p.record, p.err = dmarc.LookupWithOptions(author, options)
	if org := organization(author); errors.Is(p.err, dmarc.ErrNoPolicy) && org != author {
		p.record, p.err = dmarc.LookupWithOptions(org, options)
		if p.err == nil && p.record.SubdomainPolicy != "" {
			p.want = p.record.SubdomainPolicy
			return p
		}
	}
	if p.err == nil {
		p.want = p.record.Policy
	}
	return p
}

// aligned reports whether a domain speaks for the author, RFC 7489, 3.1.
func (p policy) aligned(domain string, mode dmarc.AlignmentMode) bool {
	if mode == dmarc.AlignmentStrict {
		return domain != "" && domain == p.author
	}
	return domain != "" && organization(domain) == organization(p.author)
}

// ofAuthor sums up the signatures in the name of the author's domain.
func (p policy) ofAuthor(sigs []signature) string {
	best := none
	for _, s := range sigs {
		result := s.result
		if !p.aligned(s.domain, dmarc.AlignmentRelaxed) {
			if result == pass {
				result = foreign
			} else {
				result = none
			}
		}
		if rank(result) > rank(best) {
			best = result
		}
	}
	return best
}

// rank orders results by what they tell of the author.
func rank(result string) int {
	for i, r := range []string{none, foreign, permError, fail, tempError, pass} {
		if r == result {
			return i
		}
	}
	return 0
}

// judge decides, RFC 7489, 6.6.2. ids are the SPF identity and then those of
// the signatures.
func (p policy) judge(ids []identity, raw []byte) (result string, act Action) {
	switch {
	case errors.Is(p.err, dmarc.ErrNoPolicy):
		return none, Accept
	case dmarc.IsTempFail(p.err):
		return tempError, Accept
	case p.err != nil:
		return permError, Accept
	}
	missing := false
	for i, id := range ids {
		mode := p.record.DKIMAlignment
		if i == 0 {
			mode = p.record.SPFAlignment
		}
		if !p.aligned(id.domain, mode) {
			continue
		}
		if id.result == pass {
			return pass, Accept
		}
		missing = missing || id.result == tempError
	}
	switch {
	case missing && p.want == dmarc.PolicyReject:
		return tempError, Retry
	case missing:
		return tempError, Accept
	case p.want == dmarc.PolicyReject && p.selected(raw):
		return fail, Reject
	}
	return fail, Accept
}

// selected reports whether the message is among the "pct" percent that the
// policy is for. The same message always gets the same answer.
func (p policy) selected(raw []byte) bool {
	if p.record.Percent == nil || *p.record.Percent >= 100 {
		return true
	}
	sum := sha256.Sum256(raw)
	return int(binary.BigEndian.Uint32(sum[:])%100) < *p.record.Percent
}

// organization returns the organizational domain, RFC 7489, 3.2.
func organization(domain string) string {
	if org, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return org
	}
	return domain // A public suffix itself, or not a name.
}

// canonical returns a domain in lower case and A-labels, without a final dot;
// "" if it has what no domain has.
func canonical(domain string) string {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
		domain = ascii
	}
	if strings.ContainsFunc(domain, func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune(".-_", r))
	}) {
		return ""
	}
	return domain
}
