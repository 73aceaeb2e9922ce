package dnssec_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"leap.example/services/dns/dnssec"
	"leap.example/services/dns/dnssectest"
)

// facts renders what an answer says: its code and its records, without what
// proves them.
func facts(m *dns.Msg) string {
	list := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == dns.TypeRRSIG {
			continue
		}
		rr = dns.Copy(rr)
		rr.Header().Ttl = 0
		// Names are equal in any case, and texts of the tree have none.
		list = append(list, strings.ToLower(rr.String()))
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), "\n")
}

// sound fails if an answer is called secure that is not the truth.
func sound(t *testing.T, u *upstream, v *dnssec.Validator, q dns.Question, m *dns.Msg) dnssec.Verdict {
	t.Helper()
	before := m.String()
	r, err := v.Validate(t.Context(), u, q, m)
	if err != nil {
		return dnssec.Bogus
	}
	if r.Verdict != dnssec.Secure {
		return r.Verdict
	}
	truth := facts(u.Truth(&dns.Msg{Question: []dns.Question{q}}))
	if got := facts(m); got != truth {
		t.Errorf("%s %s is secure:\n%s\nthe truth is:\n%s\nit was made of:\n%s", q.Name, dns.TypeToString[q.Qtype], got, truth, before)
	}
	return r.Verdict
}

// A lab makes answers that are wrong.
type lab struct {
	u          *upstream
	v          *dnssec.Validator
	questions  []dns.Question
	answer, ns []dns.RR // Of all cases.
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{u: &upstream{World: dnssectest.Shared(t)}}
	v, err := dnssec.New(dnssec.Config{Anchors: []string{l.u.Anchor(".")}})
	if err != nil {
		t.Fatal(err)
	}
	l.v = v
	for _, c := range dnssectest.Cases() {
		q := dns.Question{Name: c.Name, Qtype: c.Type, Qclass: dns.ClassINET}
		m := l.truth(q)
		l.questions = append(l.questions, q)
		l.answer, l.ns = append(l.answer, m.Answer...), append(l.ns, m.Ns...)
	}
	return l
}

func (l *lab) truth(q dns.Question) *dns.Msg {
	return l.u.Truth(&dns.Msg{Question: []dns.Question{q}, Extra: []dns.RR{do()}}).Copy()
}

// try changes the right answer to a question some times and has it judged. draw
// returns a number below n.
func (l *lab) try(t *testing.T, draw func(n int) int) dnssec.Verdict {
	t.Helper()
	q := l.questions[draw(len(l.questions))]
	m := l.truth(q)
	for range draw(4) {
		change(m, l.answer, l.ns, draw)
	}
	return sound(t, l.u, l.v, q, m)
}

// TestSound puts answers together from records of others, all with their
// signatures: whatever they say, none is secure that is not the truth.
func TestSound(t *testing.T) {
	l := newLab(t)
	verdicts := map[dnssec.Verdict]int{}
	for range 4000 {
		verdicts[l.try(t, rand.IntN)]++
	}
	t.Logf("secure %d, insecure %d, bogus %d", verdicts[dnssec.Secure], verdicts[dnssec.Insecure], verdicts[dnssec.Bogus])
	if verdicts[dnssec.Secure] == 0 || verdicts[dnssec.Bogus] == 0 {
		t.Error("the changes try nothing")
	}
}

// FuzzSound does the same with changes that the fuzzer chooses.
func FuzzSound(f *testing.F) {
	l := newLab(f)
	for i := range len(l.questions) {
		f.Add([]byte{byte(i >> 8), byte(i), 0, 3, 0, 5, 0, 1, 0, 2, 0, 3})
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		l.try(t, func(n int) int {
			if len(choices) < 2 {
				return 0
			}
			c := int(choices[0])<<8 | int(choices[1])
			choices = choices[2:]
			return c % n
		})
	})
}

func do() dns.RR {
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.SetDo()
	return opt
}

// change makes one change to an answer, with records from anywhere.
func change(m *dns.Msg, answer, ns []dns.RR, draw func(n int) int) {
	pick := func(list []dns.RR) dns.RR { return dns.Copy(list[draw(len(list))]) }
	drop := func(list []dns.RR) []dns.RR {
		if len(list) == 0 {
			return list
		}
		i := draw(len(list))
		return slices.Delete(list, i, i+1)
	}
	switch draw(10) {
	case 0:
		m.Answer = drop(m.Answer)
	case 1:
		m.Ns = drop(m.Ns)
	case 2:
		m.Answer = nil
	case 3:
		m.Rcode = []int{dns.RcodeSuccess, dns.RcodeNameError}[draw(2)]
	case 4:
		m.Answer = append(m.Answer, pick(answer))
	case 5:
		m.Ns = append(m.Ns, pick(ns), pick(ns), pick(ns))
	case 6: // Another's records, under the name asked for.
		name, set := m.Question[0].Name, pick(answer).Header()
		for _, rr := range answer {
			if sig, ok := rr.(*dns.RRSIG); rr.Header().Name == set.Name && (rr.Header().Rrtype == set.Rrtype || ok && sig.TypeCovered == set.Rrtype) {
				rr = dns.Copy(rr)
				rr.Header().Name = name
				m.Answer = append(m.Answer, rr)
			}
		}
	case 7:
		for _, rr := range m.Answer {
			if a, ok := rr.(*dns.A); ok {
				a.A[len(a.A)-1]++
			}
		}
	case 8: // A signature by somebody else.
		for _, rr := range slices.Concat(m.Answer, m.Ns) {
			if sig, ok := rr.(*dns.RRSIG); ok {
				sig.SignerName = []string{".", "test.", "unsigned.test.", "plain.test."}[draw(4)]
			}
		}
	case 9: // Any octet of it.
		b, err := m.Pack()
		if err != nil {
			return
		}
		b[12+draw(len(b)-12)] ^= byte(1 + draw(255))
		other := new(dns.Msg)
		if other.Unpack(b) == nil {
			m.Answer, m.Ns = other.Answer, other.Ns
		}
	}
}
