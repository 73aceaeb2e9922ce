package agent

import (
	"context"
	"io"
	"net/http"
	"slices"
	"time"

	"leap.example/appliance/node"
	"leap.example/appliance/slots"
	"leap.example/services/protocol/problem"
)

// host is the agent as package update sees it.
type host struct{ a *Agent }

// Document implements [update.Host].
func (h host) Document() (node.Document, bool) {
	d, state := h.a.now()
	return d, state.State == node.StateGood && h.a.imageNow().State != node.StateTrial
}

// Image implements [update.Host].
func (h host) Image() node.Image { return h.a.imageNow() }

// Secret implements [update.Host].
func (h host) Secret(digest string) ([]byte, error) { return h.a.keys.Get(digest) }

// Within implements [update.Host].
func (h host) Within(d node.Document) time.Duration { return within(d) + replaceableFor(d) }

// Old implements [update.Host].
func (h host) Old(ctx context.Context, f func(content io.ReaderAt, size int64) error) error {
	if h.a.cfg.Releases == nil {
		return errDirect
	}
	return h.a.cfg.Releases.Old(ctx, f)
}

// Arm implements [update.Host].
func (h host) Arm(ctx context.Context, t slots.Target, content io.Reader) error {
	d, _ := h.a.now()
	_, err := h.a.receive(ctx, t, replaceableFor(d), content)
	return err
}

// Disarm implements [update.Host].
func (h host) Disarm(ctx context.Context, release string) error { return h.a.disarm(ctx, release) }

// Reboot implements [update.Host].
func (h host) Reboot(ctx context.Context) error { return h.a.parts.Supervisor.Reboot(ctx) }

// replaceableFor is how long a release that came by itself has to show that it can
// be replaced in the same way.
func replaceableFor(d node.Document) time.Duration { return d.Gate.Ready.Or(readyFor) }

// replaceable reports whether the release on trial can look for updates, if it came
// by itself.
func (a *Agent) replaceable(ctx context.Context, d node.Document) error {
	ctx, cancel := context.WithTimeout(ctx, replaceableFor(d))
	defer cancel()
	return a.updates.Prove(ctx)
}

// lookForUpdates has the updater look: something has changed that it may wait for.
func (a *Agent) lookForUpdates() {
	if a.updates != nil {
		a.updates.Wake()
	}
}

// tellUpdate adds how it stands with updates to a status.
func (a *Agent) tellUpdate(d node.Document, s *node.Status) {
	if d.Updates == nil {
		return
	}
	if a.updates == nil {
		s.Trouble = append(s.Trouble, "the node cannot update itself: its writable partition cannot be used")
		return
	}
	u := a.updates.Status()
	s.Update = &u
	if damage := a.updates.Damage(); damage != "" {
		s.Trouble = append(s.Trouble, "updates: "+damage)
	}
	if slices.Contains([]string{node.UpdateStopped, node.UpdateBack, node.UpdateUnvouched, node.UpdateExpired}, u.State) {
		s.Trouble = append(s.Trouble, "updates: "+u.Reason)
	}
}

// serveUpdate has the node look for updates now, and its mirror for what there is to
// copy; with again=1, after an operator has
// looked at what went wrong.
func (a *Agent) serveUpdate(w http.ResponseWriter, r *http.Request) error {
	if d, _ := a.now(); d.Updates == nil || a.updates == nil {
		return problem.Invalid.Errorf("this node does not update itself: its document says nothing of updates, or its disk cannot be used")
	}
	if r.URL.Query().Get("again") == "1" {
		if err := inDate(r); err != nil {
			return err
		}
		a.log.InfoContext(r.Context(), "an operator has updates go on")
		if err := a.updates.Again(r.Context()); err != nil {
			return problem.Unavailable.Errorf("%w", err)
		}
	} else {
		a.updates.Wake()
	}
	if a.mirror != nil { // Others may have nothing but its copies.
		a.mirror.Wake()
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}
