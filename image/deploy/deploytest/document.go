package deploytest

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"leap.example/appliance/node"
	"leap.example/services/protocol/problem"
)

func (a *Agent) serveApply(w http.ResponseWriter, r *http.Request) error {
	var b node.Bundle
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
		return problem.Invalid.Errorf("the bundle: %w", err)
	}
	d, err := a.accept(b)
	if err != nil {
		return err
	}
	say := func(e node.Event) {
		_ = json.NewEncoder(w).Encode(e) // The verdict is in the status.
		_ = http.NewResponseController(w).Flush()
	}
	say(node.Event{Text: "applying generation " + fmt.Sprint(d.Generation)})
	seen := a.requests.Load()
	if a.Contact {
		say(node.Event{Text: "waiting for a new connection", Contact: true})
		if !a.contacted(r.Context(), seen) {
			return nil
		}
	}
	verdict := a.judge(d)
	if a.Break {
		panic(http.ErrAbortHandler)
	}
	if a.Silent {
		<-r.Context().Done()
		return nil
	}
	say(node.Event{Text: "generation " + fmt.Sprint(d.Generation) + " is " + verdict.State, Verdict: &verdict})
	return nil
}

// contacted waits for a request beyond those that were seen.
func (a *Agent) contacted(ctx context.Context, seen int64) bool {
	for a.requests.Load() == seen {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return true
}

// accept checks a bundle as an agent does.
func (a *Agent) accept(b node.Bundle) (node.Document, error) {
	text, err := b.Document.Open(ed25519.PublicKey(a.Identity.Signer), node.ForDocument)
	if err != nil {
		return node.Document{}, problem.Permission.Errorf("%w", err)
	}
	d, err := node.ParseDocument(text)
	if err != nil {
		return node.Document{}, problem.Invalid.Errorf("%w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.beginning {
		return d, problem.Unavailable.Errorf("another document or release is being taken")
	}
	if d.Node != a.Identity.Node {
		return d, problem.Invalid.Errorf("this document is for %s", d.Node)
	}
	if d.Generation <= a.status.Highest {
		return d, problem.Stale.Errorf("generation %d is not newer than %d", d.Generation, a.status.Highest)
	}
	missing, err := b.Missing(d, func(digest string) bool { return a.secrets[digest] })
	if err != nil || len(missing) > 0 {
		return d, problem.Invalid.Errorf("missing secrets %q, %v", missing, err)
	}
	for _, value := range b.Secrets {
		a.secrets[node.SecretDigest(value)] = true
	}
	a.pushed = append(a.pushed, len(b.Secrets))
	a.status.Highest = d.Generation
	return d, nil
}

// judge decides about a document, and goes back from a bad one.
func (a *Agent) judge(d node.Document) node.Generation {
	v := node.Generation{Number: d.Generation, Digest: d.Digest(), State: node.StateGood}
	a.mu.Lock()
	f := a.verdict
	a.mu.Unlock()
	if f != nil {
		v.Reason = f(d)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if v.Reason != "" {
		v.State = node.StateBad
		a.status.Bad = v
		return v
	}
	if v.Digest == a.status.Current.Digest { // Nothing but services that do not run.
		v = a.status.Current
	}
	a.status.Current, a.status.Good, a.status.Bad = v, v.Number, node.Generation{}
	a.status.Services = map[string]node.ServiceStatus{}
	for name := range d.Services {
		a.status.Services[name] = node.ServiceStatus{Running: true, Healthy: true}
	}
	a.applied = append(a.applied, d)
	return v
}
