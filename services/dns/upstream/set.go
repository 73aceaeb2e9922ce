package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	perTry    = 2 * time.Second // For one upstream.
	rounds    = 2               // How often each is asked.
	tolerated = 2               // Failures in a row of an upstream that is still asked in its turn.
	maxPause  = time.Minute     // How long it is asked last, at most.
)

// ErrNone is that there are no upstreams.
var ErrNone = errors.New("no upstreams")

// A Set are the upstreams of a resolver. It may be used from many goroutines.
type Set struct {
	servers []*server
	log     *slog.Logger
}

type server struct {
	Address
	caFile   string
	sessions tls.ClientSessionCache
	opening  chan struct{} // Holds one while a connection is opened.
	readers  sync.WaitGroup

	mu       sync.Mutex
	pipe     *pipe
	failures int       // In a row.
	until    time.Time // Asked last before.
}

// New returns the upstreams at addrs, in order of preference. caFile has the
// certificates, in PEM, of those who vouch for the names of upstreams with TLS;
// it is read when a connection is opened.
func New(addrs []Address, caFile string, log *slog.Logger) *Set {
	set := &Set{log: log}
	for _, a := range addrs {
		set.servers = append(set.servers, &server{
			Address: a, caFile: caFile, opening: make(chan struct{}, 1), sessions: tls.NewLRUClientSessionCache(2),
		})
	}
	return set
}

// Exchange asks one upstream after the other until one says what there is, with
// code NOERROR or NXDOMAIN. skip is how many of the first are asked last. The
// answer is the caller's.
func (set *Set) Exchange(ctx context.Context, q Query, skip int) (*dns.Msg, error) {
	err := ErrNone
	for range rounds {
		for _, s := range set.order(time.Now(), skip) {
			if ctx.Err() != nil {
				return nil, errors.Join(ctx.Err(), err)
			}
			var m *dns.Msg
			if m, err = set.try(ctx, s, q); err == nil {
				return m, nil
			}
		}
		if errors.Is(err, ErrCode) {
			return nil, err // To ask again is no use.
		}
	}
	return nil, err
}

// try asks one upstream.
func (set *Set) try(parent context.Context, s *server, q Query) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(parent, perTry)
	defer cancel()
	ask := s.plain
	if s.TLS {
		ask = s.secure
	}
	m, err := ask(ctx, q)
	if err != nil && parent.Err() != nil {
		return nil, err // It had no time.
	}
	set.note(s, err)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", s, err)
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("upstream %s: %w: %s", s, ErrCode, dns.RcodeToString[m.Rcode])
	}
	return m, nil
}

// order returns the servers in the order in which they are asked.
func (set *Set) order(now time.Time, skip int) []*server {
	var first, last []*server
	for i := range set.servers {
		s := set.servers[(i+skip)%len(set.servers)]
		s.mu.Lock()
		away := now.Before(s.until)
		s.mu.Unlock()
		if away {
			last = append(last, s)
		} else {
			first = append(first, s)
		}
	}
	return slices.Concat(first, last)
}

// note remembers how an exchange went.
func (set *Set) note(s *server, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		if s.failures > tolerated {
			set.log.Info("an upstream resolver answers again", "upstream", s.String())
		}
		s.failures, s.until = 0, time.Time{}
		return
	}
	s.failures++
	if s.failures <= tolerated {
		return
	}
	pause := min(time.Second<<min(s.failures-tolerated-1, 10), maxPause)
	s.until = time.Now().Add(pause/2 + rand.N(pause/2+1))
	if s.failures == tolerated+1 {
		set.log.Warn("an upstream resolver does not answer", "upstream", s.String(), "err", err)
	}
}

// Close closes the connections and waits until nothing runs any more. The set
// may be used again.
func (set *Set) Close() {
	for _, s := range set.servers {
		s.opening <- struct{}{} // Nobody opens one meanwhile.
		s.mu.Lock()
		p := s.pipe
		s.pipe = nil
		s.mu.Unlock()
		if p != nil {
			p.close()
		}
		s.readers.Wait()
		<-s.opening
	}
}
