package couch

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// A balancer sends all requests to one node, chosen at random, so that what
// was written is read back; it moves to another one when the node cannot be
// dialled, answers 503, or says of itself that it is not up (database.md
// section 13), or is slow (see hedged). It repeats nothing: see attempts.
type balancer struct {
	next  http.RoundTripper
	log   *slog.Logger
	times times

	ctx  context.Context // Of the probes; ends with close.
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex // Guards what follows.
	closed  bool
	nodes   []*node
	current *node
	credit  float64 // How many reads may be hedged now.
	counts  HedgeCounts
}

// times are the intervals of the probes.
type times struct {
	check  time.Duration // The node in use is asked at most this often.
	first  time.Duration // A node that was left is asked again after this,
	last   time.Duration // then at doubling intervals up to this.
	spread time.Duration // A recovered node is moved to within this time.
	hedge  time.Duration // A read without an answer for so long is sent to a second node.
}

var usual = times{check: 10 * time.Second, first: 250 * time.Millisecond, last: 15 * time.Second, spread: time.Minute, hedge: 400 * time.Millisecond}

type node struct {
	url     *url.URL
	down    bool
	checked time.Time // Of the last _up that was asked for while in use.
	slow    int       // How often in a row another node was faster.
}

func newBalancer(urls []string, next http.RoundTripper, log *slog.Logger) (*balancer, error) {
	b := &balancer{next: next, log: log, times: usual, credit: maxCredit}
	for _, s := range urls {
		u, err := url.Parse(s)
		if err != nil {
			return nil, err
		}
		b.nodes = append(b.nodes, &node{url: u, checked: time.Now()})
	}
	b.current = b.nodes[rand.IntN(len(b.nodes))]
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b, nil
}

func (b *balancer) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.stop()
	b.wg.Wait()
	if t, ok := b.next.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper.
func (b *balancer) RoundTrip(req *http.Request) (*http.Response, error) {
	n := b.choose()
	if reads(req) {
		return b.hedged(req, n)
	}
	return b.ask(req, n)
}

// ask sends a request to n and judges n by what comes back.
func (b *balancer) ask(req *http.Request, n *node) (*http.Response, error) {
	resp, err := b.next.RoundTrip(aimed(req, n.url))
	switch {
	case req.Context().Err() != nil: // Says nothing of the node.
	case err != nil && dialling(err):
		b.leave(n, "cannot be reached")
	case err == nil && resp.StatusCode == http.StatusServiceUnavailable:
		b.leave(n, "answers 503")
	case err == nil:
		b.works(n)
	}
	return resp, err
}

// aimed returns req for another host.
func aimed(req *http.Request, u *url.URL) *http.Request {
	req = req.Clone(req.Context())
	req.URL.Scheme, req.URL.Host, req.Host = u.Scheme, u.Host, ""
	return req
}

// dialling reports whether err came before anything was sent.
func dialling(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}

// choose returns the node in use and, if it was not asked for a while, has it
// asked whether it is up.
func (b *balancer) choose() *node {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.current
	if len(b.nodes) > 1 && !n.down && !b.closed && time.Since(n.checked) > b.times.check {
		n.checked = time.Now()
		b.wg.Go(func() {
			if b.up(b.ctx, n) != nil {
				b.leave(n, "is not up")
			}
		})
	}
	return n
}

// leave marks n as down, chooses another one if there is one that is not, and
// starts to probe n.
func (b *balancer) leave(n *node, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n.down || b.closed || len(b.nodes) == 1 {
		return
	}
	n.down = true
	b.log.Warn("leaving a database node", "node", n.url.Host, "because", why)
	if n == b.current {
		b.current = b.other(n)
	}
	b.wg.Go(func() { b.probe(n) })
}

// other returns a node that is up; if there is none, one that is not n.
func (b *balancer) other(n *node) *node {
	var best []*node
	for _, up := range []bool{true, false} {
		for _, m := range b.nodes {
			if m != n && m.down != up {
				best = append(best, m)
			}
		}
		if len(best) > 0 {
			break
		}
	}
	return best[rand.IntN(len(best))]
}

// works notes that n has answered.
func (b *balancer) works(n *node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n.down && b.current.down {
		b.current = n
	}
}
