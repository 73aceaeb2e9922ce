package couch

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"sync"

	"leap.example/services/protocol/problem"
)

// Nodes is the database of what the provider's nodes agree on among themselves:
// small documents by their names, each changed by comparing and setting.
type Nodes struct{ db database }

// Nodes returns the store of what nodes agree on.
func (d *DB) Nodes() *Nodes { return &Nodes{d.in("nodes", "agreement of the nodes")} }

type nodesDoc struct {
	meta

	Value json.RawMessage `json:"value"`
}

// Read returns what is agreed under a name, and the revision to change it by; an
// empty revision when nothing is.
func (s *Nodes) Read(ctx context.Context, name string) (value []byte, rev string, err error) {
	if !plainName(name) {
		return nil, "", problem.Invalid.Errorf("malformed name of an agreement")
	}
	var doc nodesDoc
	err = s.db.get(ctx, name, &doc)
	if problem.KindOf(err) == problem.NotExist {
		return nil, "", nil
	}
	return doc.Value, doc.Rev, err
}

// Write stores a value, JSON, over the revision rev ("": there is nothing yet);
// Stale when somebody else has changed it since.
func (s *Nodes) Write(ctx context.Context, name, rev string, value []byte) error {
	if !plainName(name) || !json.Valid(value) {
		return problem.Invalid.Errorf("malformed agreement")
	}
	_, err := s.db.put(ctx, name, nodesDoc{meta{ID: name, Rev: rev}, value})
	return err
}

// Up asks every database node whether it is up, once, and returns the errors of
// those that are not. Of external nodes it asks only for one: they are not ours to
// keep running.
func (s *Nodes) Up(ctx context.Context) error {
	b := s.db.db.balancer
	if s.db.db.external {
		return s.db.db.Ping(ctx)
	}
	b.mu.Lock()
	var all []*url.URL
	for _, n := range b.nodes {
		all = append(all, n.url)
	}
	b.mu.Unlock()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for k, u := range all {
		wg.Go(func() {
			if err := up(ctx, b.next, u); err != nil {
				errs[k] = problem.Unavailable.Errorf("the database node %s is not up: %w", u.Host, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// up asks one node.
func up(ctx context.Context, next http.RoundTripper, u *url.URL) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("_up").String(), nil)
	if err != nil {
		return err
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() // Only looked at.
	if resp.StatusCode != http.StatusOK {
		return errors.New(http.StatusText(resp.StatusCode))
	}
	return nil
}
