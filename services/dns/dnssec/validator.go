package dnssec

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// An Asker asks the upstream for records and their signatures, with the DO and
// CD bits set. It returns an error if there is no answer with code NOERROR or
// NXDOMAIN. name is canonical. The answer is not changed.
type Asker interface {
	Ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error)
}

// Config says where trust begins and where it ends.
type Config struct {
	// Trust anchors: DS or DNSKEY records as in a zone file, of any zones.
	// Empty: the root's.
	Anchors []string
	// Names of zones that are not to be validated, RFC 7646: private ones that
	// the public tree does not know. An anchor below one of them is believed.
	Negative []string
}

//go:embed anchors.txt
var rootAnchors string

// A Validator validates answers. It may be used from many goroutines.
type Validator struct {
	anchors  map[string][]dns.RR // By zone: DS and DNSKEY records.
	negative []string

	mu    sync.Mutex
	known map[string]known // By name: whether it is a zone.
}

// New returns a validator. It asks nothing.
func New(cfg Config) (*Validator, error) {
	v := &Validator{anchors: map[string][]dns.RR{}, known: map[string]known{}}
	texts := cfg.Anchors
	if len(texts) == 0 {
		texts = slices.Collect(strings.Lines(rootAnchors))
	}
	for _, text := range texts {
		rr, err := dns.NewRR(text)
		if err != nil {
			return nil, fmt.Errorf("trust anchor %q: write a DS or DNSKEY record as in a zone file: %w", strings.TrimSpace(text), err)
		}
		if rr == nil {
			continue // A comment.
		}
		if err := checkAnchor(rr); err != nil {
			return nil, fmt.Errorf("trust anchor %q: %w", strings.TrimSpace(text), err)
		}
		name := dns.CanonicalName(rr.Header().Name)
		rr.Header().Name = name
		v.anchors[name] = append(v.anchors[name], rr)
	}
	if len(v.anchors) == 0 {
		return nil, errors.New("no trust anchor is among the lines given")
	}
	for _, name := range cfg.Negative {
		if _, ok := dns.IsDomainName(name); !ok || name == "" {
			return nil, fmt.Errorf("%q, which is not to be validated, is no domain name", name)
		}
		v.negative = append(v.negative, dns.CanonicalName(name))
	}
	return v, nil
}

func checkAnchor(rr dns.RR) error {
	switch rr := rr.(type) {
	case *dns.DS:
		if !digestible(rr) || !supported(rr.Algorithm) {
			return errors.New("its algorithm or digest is not one that is verified: use one with digest type 2 or 4 of a key of algorithm 8, 10, 13, 14 or 15")
		}
	case *dns.DNSKEY:
		if len(usable(&set{rrs: []dns.RR{rr}})) == 0 {
			return errors.New("it is revoked, or no zone key of algorithm 8, 10, 13, 14 or 15: use the zone's key signing key")
		}
	default:
		return errors.New("it is neither a DS nor a DNSKEY record")
	}
	return nil
}

// A Verdict is what was found out about an answer.
type Verdict int

// The verdicts, the better the greater.
const (
	Bogus Verdict = iota
	Insecure
	Secure
)

func (v Verdict) String() string { return [...]string{"bogus", "insecure", "secure"}[v] }

// A Result is a verdict and, if it is Bogus, why: a code of RFC 8914. An Insecure
// one may have a code, too: why signatures that are there were not checked.
type Result struct {
	Verdict Verdict
	Code    uint16
}

func bogus(code uint16) Result { return Result{Bogus, code} }

// worse returns the worse of two results.
func worse(a, b Result) Result {
	if b.Verdict < a.Verdict {
		return b
	}
	return a
}
