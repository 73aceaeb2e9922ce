// Package sender judges by the domain name system who sent a message: SPF
// (RFC 7208) for the host that brought it, DKIM (RFC 6376, 8463) for who
// signed it, DMARC (RFC 7489) for whether one of the two speaks for the
// address in the From field, and what that address's domain wants done if not.
//
// It asks one resolver, named by the caller, never the system's. A resolver
// that does not answer makes results "temperror"; it never makes a message
// better than it is.
package sender

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"blitiri.com.ar/go/spf"
	"github.com/emersion/go-msgauth/authres"
	"github.com/emersion/go-msgauth/dkim"

	"leap.example/services/protocol/smtpline"
)

// patience bounds all questions about one message.
const patience = 20 * time.Second

// Bounds on signatures: verifying takes time that grows with the product of
// fields and signed names.
const (
	maxSignatures = 5
	maxFields     = 1000
	maxSignature  = 8 << 10 // Octets of one DKIM-Signature field.
)

// Results, RFC 8601, 2.7.
const (
	none      = "none"
	pass      = "pass"
	fail      = "fail"
	foreign   = "policy" // Valid, but not of the author's domain.
	tempError = "temperror"
	permError = "permerror"
)

// A Message is what a judgement is about.
type Message struct {
	IP     netip.Addr      // Of the peer.
	HELO   string          // What the peer calls itself.
	From   string          // Of the envelope; "" is the null sender.
	Author string          // The address in the From field.
	Header smtpline.Header // As it came.
	Raw    []byte          // All of the message, as it came.
}

// An Action is what the author's domain demands.
type Action int

const (
	Accept Action = iota // Or quarantine: the receiving program decides.
	Reject               // Policy "reject", and nothing speaks for the author.
	Retry                // Would be Reject, but an answer is missing.
)

// A Verdict is the judgement of one message, in the words of RFC 8601, 2.7.
type Verdict struct {
	SPF     string           // Of the envelope's sender, or the HELO name.
	DKIM    string           // Of the signatures in the name of the author's domain; "policy" if only others are valid.
	DMARC   string           // Of the author.
	Action  Action           // Wanted by the author's domain.
	Results []authres.Result // All of it, for an Authentication-Results field.
}

// A Checker judges messages. It may be used from any goroutine.
type Checker struct{ dns *resolver }

// New returns a Checker that asks the resolver at the address host:port. With
// an empty address it asks nobody and every result is "none".
func New(address string) *Checker {
	if address == "" {
		return &Checker{}
	}
	return &Checker{dial(address)}
}

// Check judges m. It takes no longer than ctx and 20 s.
func (c *Checker) Check(ctx context.Context, m Message) Verdict {
	if c.dns == nil {
		return Verdict{SPF: none, DKIM: none, DMARC: none}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var (
		wg   sync.WaitGroup
		host spf.Result
		sigs []signature
		pol  policy
	)
	wg.Go(func() { host = c.host(ctx, m) })
	wg.Go(func() { sigs = c.signatures(ctx, m) })
	wg.Go(func() { pol = c.policy(ctx, domainOf(m.Author)) })
	wg.Wait()

	v := Verdict{SPF: string(host)}
	v.Results = append(v.Results, &authres.SPFResult{Value: authres.ResultValue(host), From: m.From, Helo: m.HELO})
	for _, s := range sigs {
		v.Results = append(v.Results, &authres.DKIMResult{Value: authres.ResultValue(s.result), Domain: s.domain})
	}
	speaks := []identity{{m.spfDomain(), string(host)}}
	v.DKIM = pol.ofAuthor(sigs)
	for _, s := range sigs {
		speaks = append(speaks, identity(s))
	}
	v.DMARC, v.Action = pol.judge(speaks, m.Raw)
	v.Results = append(v.Results, &authres.DMARCResult{Value: authres.ResultValue(v.DMARC), From: pol.author})
	return v
}

// host checks SPF, RFC 7208, 2.3 and 2.4.
func (c *Checker) host(ctx context.Context, m Message) spf.Result {
	result, _ := spf.CheckHostWithSender(net.IP(m.IP.Unmap().AsSlice()), m.HELO, m.From, spf.WithContext(ctx), spf.WithResolver(c.dns))
	return result // The error only explains it.
}

func (m Message) spfDomain() string {
	if m.From == "" {
		return canonical(m.HELO)
	}
	return domainOf(m.From)
}

// A signature is one DKIM signature and what it is worth.
type signature struct{ domain, result string }

// signatures verifies DKIM.
func (c *Checker) signatures(ctx context.Context, m Message) []signature {
	if len(m.Header) > maxFields {
		return []signature{{"", permError}}
	}
	for _, f := range m.Header {
		if f.Is("DKIM-Signature") && len(f.Raw) > maxSignature {
			return []signature{{"", permError}}
		}
	}
	list, err := dkim.VerifyWithOptions(bytes.NewReader(m.Raw), &dkim.VerifyOptions{
		LookupTXT:        func(name string) ([]string, error) { return c.dns.LookupTXT(ctx, name) },
		MaxVerifications: maxSignatures,
	})
	if err != nil && len(list) == 0 {
		return []signature{{"", permError}}
	}
	var sigs []signature
	for _, v := range list {
		s := signature{canonical(v.Domain), pass}
		switch {
		case dkim.IsTempFail(v.Err):
			s.result = tempError
		case dkim.IsPermFail(v.Err):
			s.result = permError
		case v.Err != nil:
			s.result = fail
		}
		sigs = append(sigs, s)
	}
	return sigs
}

// domainOf returns the domain of a mail address, canonical.
func domainOf(address string) string {
	return canonical(address[strings.LastIndexByte(address, '@')+1:])
}
