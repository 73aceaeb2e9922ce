package couch

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"
)

// Reads that have to wait are sent to a second node. That is safe where any
// node may answer: nodes of ours catch up first (freshHeader), unless an old
// answer will do anyway; Apache CouchDB reads a document from a majority of its
// copies, whichever node is asked, and lists and queries from any copy. Writes
// and feeds stay with one node.
const (
	maxCredit   = 10      // So many reads may be hedged at once,
	readCredit  = 0.1     // and one more for each ten that were not.
	slowEnough  = 3       // After so many hedges in a row that were faster, the node is left to others.
	maxHeldBody = 1 << 20 // A larger query is not hedged.
)

// HedgeCounts are how many reads were sent to a second node, and how many of
// those it answered first.
type HedgeCounts struct{ Sent, Won uint64 }

// Hedges returns the counts since Open.
func (d *DB) Hedges() HedgeCounts {
	d.balancer.mu.Lock()
	defer d.balancer.mu.Unlock()
	return d.balancer.counts
}

// A try is one of the requests that a read is made of.
type try struct {
	node   *node
	cancel context.CancelFunc
	resp   *http.Response
	err    error
}

// good reports whether the try has an answer to give.
func (t *try) good() bool { return t.err == nil && t.resp.StatusCode < http.StatusInternalServerError }

// give returns the answer of the try, which ends with its body.
func (t *try) give() (*http.Response, error) {
	if t.err != nil {
		t.cancel()
		return nil, t.err
	}
	t.resp.Body = &body{ReadCloser: t.resp.Body, cancel: t.cancel}
	return t.resp, nil
}

// discard ends a try that nobody needs.
func (t *try) discard() {
	t.cancel()
	if t.err == nil {
		t.resp.Body.Close()
	}
}

// hedged asks n, and another node too if n does not answer for a while. The
// first answer counts.
func (b *balancer) hedged(req *http.Request, n *node) (*http.Response, error) {
	req, held, ok := b.hold(req)
	if !ok {
		return b.ask(req, n)
	}
	answers := make(chan *try, 2)
	first := b.try(req, held, n, answers)
	if first == nil {
		return nil, errNotUp
	}
	timer := time.NewTimer(b.times.hedge)
	defer timer.Stop()
	select {
	case <-answers:
		b.fast(n)
		return first.give()
	case <-timer.C:
	}
	var second *try
	if other := b.second(n); other != nil {
		second = b.try(req, held, other, answers)
	}
	got := <-answers
	switch {
	case second == nil:
	case !got.good():
		got.discard()
		got = <-answers
	case got == first:
		b.drop(second, answers)
	default:
		b.drop(first, answers)
	}
	if second != nil && got == second && got.good() {
		b.beaten(n, second.node)
	}
	return got.give()
}

// hold makes a read ready to be sent twice, which it is not if there is one node
// only. The request that it returns takes the place of req.
func (b *balancer) hold(req *http.Request) (*http.Request, []byte, bool) {
	if len(b.nodes) == 1 {
		return req, nil, false
	}
	if req.Body == nil || req.Body == http.NoBody {
		return req, nil, true
	}
	data, err := io.ReadAll(io.LimitReader(req.Body, maxHeldBody+1))
	if err == nil && len(data) <= maxHeldBody {
		req.Body.Close() // It was read to its end.
		return req, data, true
	}
	rest := req.Body // And the error, if there was one, again.
	req = req.Clone(req.Context())
	req.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(data), rest), rest}
	return req, nil, false
}

// try sends the request to n, and the try to answers when n has answered. It
// returns nil when the balancer is closed.
func (b *balancer) try(req *http.Request, held []byte, n *node, answers chan<- *try) *try {
	ctx, cancel := context.WithCancel(req.Context())
	req = req.Clone(ctx)
	if held != nil {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(held)), int64(len(held))
	}
	t := &try{node: n, cancel: cancel}
	if !b.start(func() {
		t.resp, t.err = b.ask(req, n)
		answers <- t
	}) {
		cancel()
		return nil
	}
	return t
}

// start runs f beside, if the balancer is not closed; close waits for it.
func (b *balancer) start(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.wg.Go(f)
	return true
}

// drop ends a try that is under way.
func (b *balancer) drop(t *try, answers <-chan *try) {
	t.cancel()
	end := func() { (<-answers).discard() } // Soon: its request was cancelled.
	if !b.start(end) {
		end()
	}
}

// second returns another node that is up, if one more read may be hedged.
func (b *balancer) second(n *node) *node {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.credit < 1 || b.closed {
		return nil
	}
	m := b.other(n)
	if m.down {
		return nil
	}
	b.credit--
	b.counts.Sent++
	return m
}

// fast notes that n has answered in time.
func (b *balancer) fast(n *node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n.slow = 0
	b.credit = min(b.credit+readCredit, maxCredit)
}

// beaten notes that another node has answered before n did.
func (b *balancer) beaten(n, by *node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts.Won++
	if n.slow++; n.slow >= slowEnough && n == b.current && !by.down {
		n.slow = 0
		b.current = by
		b.log.Warn("leaving a database node", "node", n.url.Host, "because", "it is slow")
	}
}
