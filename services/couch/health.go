package couch

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// probe asks n until it is up, and then moves to it with a chance that spreads
// the processes over the nodes again.
func (b *balancer) probe(n *node) {
	for wait := b.times.first; ; wait = min(2*wait, b.times.last) {
		if !b.sleep(wait/2 + rand.N(wait)) {
			return
		}
		if b.up(b.ctx, n) == nil {
			break
		}
	}
	b.mu.Lock()
	n.down, n.checked = false, time.Now()
	if b.current.down {
		b.current = n
	}
	b.mu.Unlock()
	b.log.Info("a database node is back", "node", n.url.Host)
	if rand.IntN(len(b.nodes)) != 0 || !b.sleep(rand.N(b.times.spread)) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !n.down {
		b.current = n
	}
}

// sleep reports whether the time passed before the balancer was closed.
func (b *balancer) sleep(d time.Duration) bool {
	select {
	case <-b.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// ping asks the node in use whether it is up.
func (b *balancer) ping(ctx context.Context) error {
	n := b.choose()
	err := b.up(ctx, n)
	if err != nil && ctx.Err() == nil {
		b.leave(n, "is not up")
	}
	return err
}

// up asks n whether it is up. A server that has no such resource, as others than
// CouchDB, is up if it says anything of itself.
func (b *balancer) up(ctx context.Context, n *node) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	status, body, err := b.fetch(ctx, n, "_up")
	if err != nil {
		return err
	}
	var said struct{ Status string }
	if status == http.StatusNotFound && (json.Unmarshal(body, &said) != nil || said.Status == "") {
		if status, _, err = b.fetch(ctx, n, "/"); err != nil {
			return err
		}
	}
	if status != http.StatusOK {
		return errNotUp
	}
	return nil
}

// fetch reads a small resource of n, as nobody.
func (b *balancer) fetch(ctx context.Context, n *node, path string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url.JoinPath(path).String(), nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	return resp.StatusCode, body, err
}
