package dnssec

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestOrder is the example of RFC 4034, 6.1.
func TestOrder(t *testing.T) {
	want := []string{"example.", "a.example.", "yljkjljk.a.example.", "z.a.example.", "zabc.a.example.", "z.example.", `\001.z.example.`, "*.z.example.", `\200.z.example.`}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compare)
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestUnderstood: records of NSEC3 of another kind prove nothing.
func TestUnderstood(t *testing.T) {
	right := func() *dns.NSEC3 {
		return &dns.NSEC3{
			Hdr:  dns.RR_Header{Name: strings.Repeat("a", 32) + ".example.", Rrtype: dns.TypeNSEC3},
			Hash: dns.SHA1, Flags: optOut, Iterations: maxIterations, NextDomain: strings.Repeat("B", 32),
		}
	}
	d := &denials{zone: &zone{name: "example."}}
	if !d.understood(right()) {
		t.Error("the right one is not")
	}
	for name, edit := range map[string]func(*dns.NSEC3){
		"hash":       func(n *dns.NSEC3) { n.Hash = dns.SHA256 },
		"flag":       func(n *dns.NSEC3) { n.Flags = 2 },
		"iterations": func(n *dns.NSEC3) { n.Iterations++ },
		"zone":       func(n *dns.NSEC3) { n.Hdr.Name = strings.Repeat("a", 32) + ".sub.example." },
		"length":     func(n *dns.NSEC3) { n.NextDomain = "BB" },
		"root":       func(n *dns.NSEC3) { n.Hdr.Name = "." },
	} {
		n := right()
		if edit(n); d.understood(n) {
			t.Errorf("one with another %s is", name)
		}
	}
}

// TestHashBudget: hashes are computed until the budget is used up.
func TestHashBudget(t *testing.T) {
	d := &denials{zone: &zone{name: "example."}, budget: newBudget(), hashed: map[string]string{}}
	for salt := range maxDenials {
		d.nsec3 = append(d.nsec3, &dns.NSEC3{
			Hdr: dns.RR_Header{Name: strings.Repeat("a", 32) + ".example."}, Hash: dns.SHA1, Salt: string(rune('a'+salt%6)) + "0",
			NextDomain: strings.Repeat("b", 32),
		})
	}
	if r := d.nxdomain(strings.Repeat("a.", 100) + "example."); r.Verdict != Bogus {
		t.Errorf("got %v", r)
	}
	if len(d.hashed) > maxHashes {
		t.Errorf("%d hashes", len(d.hashed))
	}
}

// TestRevoked: a key that its owner revoked signs nothing any more.
func TestRevoked(t *testing.T) {
	s := &set{name: "example."}
	for _, flags := range []uint16{dns.ZONE, dns.ZONE | dns.SEP, dns.ZONE | dns.REVOKE, dns.SEP} {
		s.rrs = append(s.rrs, &dns.DNSKEY{Flags: flags, Protocol: 3, Algorithm: dns.ED25519, PublicKey: strings.Repeat("A", 43) + "="})
	}
	s.rrs = append(s.rrs, &dns.DNSKEY{Flags: dns.ZONE, Protocol: 2, Algorithm: dns.ED25519}, &dns.DNSKEY{Flags: dns.ZONE, Protocol: 3, Algorithm: dns.RSASHA1})
	if got := usable(s); len(got) != 2 {
		t.Errorf("%d keys are used, want 2", len(got))
	}
	for range 40 {
		s.rrs = append(s.rrs, s.rrs[0])
	}
	if got := usable(s); len(got) > maxTag+1 {
		t.Errorf("%d keys with one tag", len(got))
	}
}

// TestMemory: what is remembered is bounded.
func TestMemory(t *testing.T) {
	v, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxKnown + 1000 {
		v.remember(fmt.Sprint(i, "."), nil, 60, time.Now())
	}
	if len(v.known) > maxKnown {
		t.Errorf("%d names", len(v.known))
	}
}
