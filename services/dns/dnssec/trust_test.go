package dnssec_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leap.example/services/dns/dnssec"
	"leap.example/services/dns/dnssectest"
)

func TestAnchors(t *testing.T) {
	u := &upstream{World: dnssectest.Shared(t)}
	root, island, sub, lone := u.Anchor("."), u.Anchor("island.test."), u.Anchor("sub.plain.test."), u.Anchor("below.unsigned.test.")
	for _, tt := range []struct {
		name     string
		anchors  []string
		negative []string
		question string
		want     dnssec.Verdict
	}{
		{"no anchor above", []string{island}, nil, "www.plain.test.", dnssec.Insecure},
		{"an island", []string{island}, nil, "www.island.test.", dnssec.Secure},
		{"an island beside the root", []string{root, island}, nil, "www.island.test.", dnssec.Secure},
		{"below an unsigned zone", []string{root, lone}, nil, "www.below.unsigned.test.", dnssec.Secure},
		{"exempt", []string{root}, []string{"Plain.test"}, "www.plain.test.", dnssec.Insecure},
		{"exempt and bogus", []string{root}, []string{"wrong.test"}, "www.wrong.test.", dnssec.Insecure},
		{"below what is exempt", []string{root}, []string{"test"}, "www.sub.plain.test.", dnssec.Insecure},
		{"an anchor below what is exempt", []string{root, sub}, []string{"plain.test"}, "www.sub.plain.test.", dnssec.Secure},
		{"exempt at an anchor", []string{root, sub}, []string{"sub.plain.test"}, "www.sub.plain.test.", dnssec.Insecure},
		{"beside what is exempt", []string{root}, []string{"lain.test", "sub.plain.test"}, "www.plain.test.", dnssec.Secure},
		{"another root", []string{strings.Replace(island, "island.test.", ".", 1)}, nil, "www.plain.test.", dnssec.Bogus},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newValidator(t, dnssec.Config{Anchors: tt.anchors, Negative: tt.negative})
			if _, r := judge(t, v, u, tt.question, dns.TypeA); r.Verdict != tt.want {
				t.Errorf("got %v (%s), want %v", r.Verdict, dns.ExtendedErrorCodeToString[r.Code], tt.want)
			}
		})
	}
}

// TestClaimedSigner: a signature that names an unsigned zone above does not make
// insecure what an anchor below it vouches for.
func TestClaimedSigner(t *testing.T) {
	u := &upstream{World: dnssectest.Shared(t)}
	v := newValidator(t, dnssec.Config{Anchors: []string{u.Anchor("."), u.Anchor("below.unsigned.test.")}})
	q := dns.Question{Name: "www.below.unsigned.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}
	m := u.Truth(&dns.Msg{Question: []dns.Question{q}, Extra: []dns.RR{do()}}).Copy()
	for _, rr := range m.Answer {
		if sig, ok := rr.(*dns.RRSIG); ok {
			sig.SignerName = "unsigned.test."
		}
	}
	if r, err := v.Validate(t.Context(), u, q, m); err != nil || r.Verdict != dnssec.Bogus {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestConfig(t *testing.T) {
	if _, err := dnssec.New(dnssec.Config{}); err != nil {
		t.Errorf("the root's own keys: %v", err)
	}
	const digest = " E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"
	for _, tt := range []struct {
		anchor, negative, want string
	}{
		{". IN DS 20326 8 2" + digest, "corp.example", ""},
		{"; a comment", "", "no trust anchor"},
		{". IN DS 20326", "", "write a DS or DNSKEY record"},
		{". IN A 192.0.2.1", "", "neither"},
		{". IN DS 20326 5 2" + digest, "", "algorithm"},
		{". IN DS 20326 8 1" + digest, "", "digest"},
		{". IN DS 20326 8 2 E06D", "", "digest"},
		{". IN DNSKEY 385 3 13 " + strings.Repeat("A", 86) + "==", "", "revoked"},
		{". IN DS 20326 8 2" + digest, "a..b", "no domain name"},
	} {
		_, err := dnssec.New(dnssec.Config{Anchors: []string{tt.anchor}, Negative: strings.Fields(tt.negative)})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %s: got %v, want %q", tt.anchor, tt.negative, err, tt.want)
		}
	}
}

// FuzzConfig: what an operator writes is taken or refused.
func FuzzConfig(f *testing.F) {
	f.Add(". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D", "corp.example")
	f.Add(". IN DNSKEY 257 3 13 AAAA", ".")
	f.Add("$INCLUDE /etc/hostname", `\\`)
	f.Fuzz(func(t *testing.T, anchor, negative string) {
		v, err := dnssec.New(dnssec.Config{Anchors: []string{anchor}, Negative: []string{negative}})
		if (v == nil) != (err != nil) {
			t.Errorf("%v, %v", v, err)
		}
	})
}

// TestAway: without keys there is no verdict, and it is found when they can be
// had again; what is wrong is forgotten when asked to.
func TestAway(t *testing.T) {
	u := &upstream{World: dnssectest.Tree(t)}
	v := newValidator(t, dnssec.Config{Anchors: []string{u.Anchor(".")}})
	q := dns.Question{Name: "www.plain.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}
	m := u.Truth(&dns.Msg{Question: []dns.Question{q}, Extra: []dns.RR{do()}})
	u.fail = true
	if r, err := v.Validate(t.Context(), u, q, m.Copy()); err == nil {
		t.Errorf("away: %v", r)
	}
	u.fail = false
	if r, err := v.Validate(t.Context(), u, q, m.Copy()); err != nil || r.Verdict != dnssec.Secure {
		t.Errorf("back: %v, %v", r, err)
	}

	u.Spoil(func(q dns.Question, m *dns.Msg) {
		if q.Qtype == dns.TypeDNSKEY {
			m.Answer = nil
		}
	})
	for range 2 {
		if _, r := judge(t, v, u, "www.hashed.test.", dns.TypeA); r.Verdict != dnssec.Bogus {
			t.Errorf("spoiled: %v", r)
		}
	}
	if n := u.Asked("hashed.test.", dns.TypeDNSKEY); n != 1 {
		t.Errorf("keys that are not there were asked for %d times", n)
	}
	u.Spoil(nil)
	v.Forget()
	if _, r := judge(t, v, u, "www.hashed.test.", dns.TypeA); r.Verdict != dnssec.Secure {
		t.Errorf("afterwards: %v", r)
	}
}

// TestTTL: what is proven is kept no longer than its signatures allow.
func TestTTL(t *testing.T) {
	w := dnssectest.New()
	w.Zone(t, ".", dnssectest.Options{}, "long A 192.0.2.1")
	w.Zone(t, "short.", dnssectest.Options{Begin: -time.Hour, End: 100 * time.Second}, "www A 192.0.2.1")
	w.Sign(t)
	w.Spoil(func(_ dns.Question, m *dns.Msg) {
		for _, rr := range m.Answer {
			rr.Header().Ttl = 86400
		}
	})
	u := &upstream{World: w}
	v := newValidator(t, dnssec.Config{Anchors: []string{w.Anchor(".")}})
	for name, most := range map[string]uint32{"long.": 300, "www.short.": 100} {
		m, r := judge(t, v, u, name, dns.TypeA)
		if r.Verdict != dnssec.Secure || len(m.Answer) != 2 {
			t.Fatalf("%s: %v\n%v", name, r, m)
		}
		for _, rr := range m.Answer {
			if rr.Header().Ttl > most {
				t.Errorf("kept for %d s, at most %d: %v", rr.Header().Ttl, most, rr)
			}
		}
	}
}

// TestBounds: a zone cannot have more done for it than there is a budget for.
func TestBounds(t *testing.T) {
	u := &upstream{World: dnssectest.Shared(t)}
	v := newValidator(t, dnssec.Config{Anchors: []string{u.Anchor(".")}})
	q := dns.Question{Name: "www.plain.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}
	truth := u.Truth(&dns.Msg{Question: []dns.Question{q}, Extra: []dns.RR{do()}})
	for _, wrong := range []int{2, 20} { // Signatures by the right key that are wrong, before the right one.
		m := truth.Copy()
		for i := range wrong {
			sig := dns.Copy(truth.Answer[1]).(*dns.RRSIG)
			sig.OrigTtl += uint32(i) + 1
			m.Answer = append([]dns.RR{sig}, m.Answer...)
		}
		r, err := v.Validate(t.Context(), u, q, m)
		if err != nil || (r.Verdict == dnssec.Secure) != (wrong == 2) {
			t.Errorf("after %d wrong signatures: %v, %v", wrong, r, err)
		}
	}

	// So many records that each signature is much work.
	m := truth.Copy()
	for i := range 4000 {
		m.Answer = append(m.Answer, &dns.A{Hdr: *m.Answer[0].Header(), A: []byte{10, 0, byte(i >> 8), byte(i)}})
	}
	begin := time.Now()
	if r, err := v.Validate(t.Context(), u, q, m); err != nil || r.Verdict != dnssec.Bogus {
		t.Errorf("4000 records: %v, %v", r, err)
	}
	t.Logf("4000 records took %v", time.Since(begin))

	// A name so long that to look for cuts on the way would take a question each.
	q.Name = strings.Repeat("a.", 100) + "plain.test."
	m = new(dns.Msg)
	m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: []byte{192, 0, 2, 1}}}
	if r, err := v.Validate(t.Context(), u, q, m); err == nil {
		t.Errorf("a long way: %v", r)
	}
	asked := 0
	for i := range 100 {
		asked += u.Asked(strings.Repeat("a.", i+1)+"plain.test.", dns.TypeDS)
	}
	if asked > 48 {
		t.Errorf("%d questions", asked)
	}

	// So many labels are no more than the budget for hashes.
	if _, r := judge(t, v, u, strings.Repeat("a.", 60)+"hashed.test.", dns.TypeA); r.Verdict != dnssec.Secure {
		t.Errorf("a long name: %v", r)
	}
}

// slow counts the questions that are on their way at once.
type slow struct {
	*upstream
	mu        sync.Mutex
	now, most int
	gate      chan struct{}
}

func (s *slow) Ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	if s.now == 5 {
		close(s.gate) // The keys of the root, of test., of plain.test., and the DS records of both.
	}
	s.mu.Unlock()
	select {
	case <-s.gate:
	case <-time.After(5 * time.Second):
	}
	return s.upstream.Ask(ctx, name, qtype)
}

// TestAhead: all keys that are needed are asked for at once.
func TestAhead(t *testing.T) {
	u := &slow{upstream: &upstream{World: dnssectest.Shared(t)}, gate: make(chan struct{})}
	v := newValidator(t, dnssec.Config{Anchors: []string{u.Anchor(".")}})
	q := dns.Question{Name: "www.plain.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}
	m := u.Truth(&dns.Msg{Question: []dns.Question{q}, Extra: []dns.RR{do()}}).Copy()
	if r, err := v.Validate(t.Context(), u, q, m); err != nil || r.Verdict != dnssec.Secure {
		t.Errorf("got %v, %v", r, err)
	}
	if u.most != 5 {
		t.Errorf("%d questions at once", u.most)
	}
}
