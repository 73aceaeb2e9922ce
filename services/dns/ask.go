package dns

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"leap.example/services/dns/dnssec"
	"leap.example/services/dns/upstream"
)

// perQuery is the time for an answer, with all keys that it needs.
const perQuery = 5 * time.Second

// manyForged are so many forged answers in a row, without one that is signed,
// that it is said.
const manyForged = 16

// ask asks the upstreams and keeps the answer. Equal questions share one
// exchange. It never fails: what is found may be a failure. The message is the
// caller's.
func (r *resolver) ask(ctx context.Context, k key) finding {
	v, _, _ := r.flights.Do(fmt.Sprint(k), func() (any, error) {
		if f, ok := r.known(k); ok {
			return f, nil // Found meanwhile.
		}
		ctx, cancel := context.WithTimeout(ctx, perQuery)
		defer cancel()
		f, err := r.resolve(ctx, k)
		now := time.Now()
		if err != nil {
			if f, late := r.cache.late(k, now); late {
				return f, nil
			}
			f = failure(err)
		}
		r.cache.put(k, f, now)
		return f, nil
	})
	f := v.(finding)
	f.msg = f.msg.Copy()
	return f
}

// failure is what is found when there is no answer.
func failure(err error) finding {
	f := finding{msg: new(dns.Msg), failed: true, code: int(dns.ExtendedErrorCodeNetworkError)}
	f.msg.Rcode = dns.RcodeServerFailure
	if errors.Is(err, upstream.ErrCode) || errors.Is(err, upstream.ErrNone) {
		f.code = int(dns.ExtendedErrorCodeNoReachableAuthority)
	}
	return f
}

// resolve asks the upstreams, and judges what they say. What looks forged is
// asked for once more, of another upstream if there is one: it may have been
// forged on the way from the first.
func (r *resolver) resolve(ctx context.Context, k key) (f finding, err error) {
	validated := r.validator != nil && !k.cd
	for skip := range 2 {
		// RFC 6840, 5.9: the CD bit is set by who validates.
		m, err := r.upstreams.Exchange(ctx, upstream.Query{Name: k.name, Type: k.qtype, CD: validated || k.cd}, skip)
		if err != nil {
			return f, err
		}
		m.Extra = nil
		f = finding{msg: m, result: dnssec.Result{Verdict: dnssec.Insecure}, code: noCode}
		if !validated {
			return f, nil
		}
		f.result, err = r.validator.Validate(ctx, asker{r, skip}, m.Question[0], m)
		if err != nil || f.result.Verdict != dnssec.Bogus {
			r.good(f.result)
			return f, err
		}
		f.code = int(f.result.Code)
		r.validator.Forget()
	}
	r.bad()
	return f, nil
}

// good and bad count what cannot be validated: where nothing can, it is as a
// rule an upstream that leaves out signatures, and somebody should know.
func (r *resolver) good(result dnssec.Result) {
	if result.Verdict == dnssec.Secure {
		r.forged.Store(0)
	}
}

func (r *resolver) bad() {
	if r.forged.Add(1) == manyForged {
		r.log.Warn("no answer of the last ones could be validated: if an upstream resolver leaves out signatures, use another one, or set dns.resolver.dnssec to off")
	}
}

// An asker asks for what validation needs. Equal questions share one exchange.
type asker struct {
	r    *resolver
	skip int
}

func (a asker) Ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	v, err, _ := a.r.flights.Do(fmt.Sprint("keys", name, qtype, a.skip), func() (any, error) {
		return a.r.upstreams.Exchange(ctx, upstream.Query{Name: name, Type: qtype, CD: true}, a.skip)
	})
	if err != nil {
		return nil, err
	}
	return v.(*dns.Msg), nil
}
