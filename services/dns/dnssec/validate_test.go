package dnssec_test

import (
	"context"
	"errors"
	"testing"

	"github.com/miekg/dns"

	"leap.example/services/dns/dnssec"
	"leap.example/services/dns/dnssectest"
)

// upstream asks a world without a network.
type upstream struct {
	*dnssectest.World
	fail bool
}

func (u *upstream) Ask(_ context.Context, name string, qtype uint16) (*dns.Msg, error) {
	if u.fail {
		return nil, errors.New("away")
	}
	// What comes from the wire shares nothing with the world.
	b, err := u.Answer(new(dns.Msg).SetQuestion(name, qtype).SetEdns0(1232, true)).Pack()
	if err != nil {
		return nil, err
	}
	m := new(dns.Msg)
	return m, m.Unpack(b)
}

// judge asks w and has v judge the answer.
func judge(t *testing.T, v *dnssec.Validator, u *upstream, name string, qtype uint16) (*dns.Msg, dnssec.Result) {
	t.Helper()
	m, err := u.Ask(t.Context(), name, qtype)
	if err != nil {
		t.Fatal(err)
	}
	r, err := v.Validate(t.Context(), u, dns.Question{Name: name, Qtype: qtype, Qclass: dns.ClassINET}, m)
	if err != nil {
		t.Fatalf("%s %s: %v", name, dns.TypeToString[qtype], err)
	}
	return m, r
}

func newValidator(t *testing.T, cfg dnssec.Config) *dnssec.Validator {
	t.Helper()
	v, err := dnssec.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCases(t *testing.T) {
	u := &upstream{World: dnssectest.Shared(t)}
	for _, anchor := range []string{u.Anchor("."), u.AnchorKey(".")} {
		v := newValidator(t, dnssec.Config{Anchors: []string{anchor}})
		for range 2 { // The second time with what is remembered.
			for _, c := range dnssectest.Cases() {
				m, r := judge(t, v, u, c.Name, c.Type)
				what := c.Name + " " + dns.TypeToString[c.Type]
				if r.Verdict.String() != c.Want {
					t.Errorf("%s: %v (%s), want %s\n%v", what, r.Verdict, dns.ExtendedErrorCodeToString[r.Code], c.Want, m)
				} else if r.Verdict == dnssec.Bogus && c.Code != 0 && r.Code != c.Code {
					t.Errorf("%s: because of %q, want %q", what, dns.ExtendedErrorCodeToString[r.Code], dns.ExtendedErrorCodeToString[c.Code])
				}
				if r.Verdict != dnssec.Bogus && m.Rcode != c.Rcode {
					t.Errorf("%s: %s, want %s", what, dns.RcodeToString[m.Rcode], dns.RcodeToString[c.Rcode])
				}
			}
		}
	}
}
