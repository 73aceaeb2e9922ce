package tufclient_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// A source that never answers, and one that is not there.
type (
	silent struct{ *tuftest.Mirror }
	down   struct{ *tuftest.Mirror }
)

func (silent) Fetch(ctx context.Context, _ string, _, _ int64) (io.ReadCloser, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (down) Fetch(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return nil, io.ErrClosedPipe
}

// stale returns a mirror that stands still at what is published now.
func (w *world) stale() *tuftest.Mirror {
	return &tuftest.Mirror{Name: "stale", Files: maps.Clone(w.mirror.Files)}
}

// TestNewestOfAll: of what several sources say the newest counts, in whichever order
// they are, and one that is down, silent or slow, or lies, stops nothing.
func TestNewestOfAll(t *testing.T) {
	for name, test := range map[string]struct {
		other func(w *world, old *tuftest.Mirror) tufclient.Source
		most  time.Duration // That it may take.
	}{
		"stale":  {func(_ *world, old *tuftest.Mirror) tufclient.Source { return old }, 0},
		"down":   {func(_ *world, old *tuftest.Mirror) tufclient.Source { return down{old} }, 0},
		"silent": {func(_ *world, old *tuftest.Mirror) tufclient.Source { return silent{old} }, 10 * time.Second},
		"slow": {func(_ *world, old *tuftest.Mirror) tufclient.Source {
			old.Body = func(ctx context.Context, _ string, _ []byte) io.Reader { return tuftest.Trickle(ctx) }
			return old
		}, 11 * time.Second},
		"endless": {func(_ *world, old *tuftest.Mirror) tufclient.Source {
			old.Body = func(context.Context, string, []byte) io.Reader { return tuftest.Endless{} }
			return old
		}, 0},
		"claims to be newer": {func(w *world, old *tuftest.Mirror) tufclient.Source {
			m := *w.repo.Timestamp
			m.Signed.Version = 1 << 60
			old.Files["metadata/timestamp.json"] = tuftest.Sign(w.t, &m, tuftest.NewKey(w.t))
			return old
		}, 0},
		"newest timestamp alone": {func(w *world, old *tuftest.Mirror) tufclient.Source {
			w.repo.PublishSnapshot()
			old.Files["metadata/timestamp.json"] = w.repo.Files["metadata/timestamp.json"]
			return old
		}, 0},
		"a false root": {func(w *world, old *tuftest.Mirror) tufclient.Source {
			old.Files["metadata/2.root.json"] = tuftest.New(w.t, time.Now()).RootFile(1)
			return old
		}, 0},
	} {
		for _, place := range []string{"first", "last"} {
			t.Run(name+", "+place, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					old := w.stale()
					w.next()
					sources := []tufclient.Source{test.other(w, old), w.mirror}
					if place == "last" {
						slices.Reverse(sources)
					}
					w.cfg.Repositories[0].Sources = sources
					begun := time.Now()
					must(t, w.check())
					if took := time.Since(begun); took > test.most {
						t.Errorf("it took %v", took)
					}
					must(t, w.update("1.1.0"))
				})
			})
		}
	}
}

// TestNewestRoot: a root that one source has counts before the timestamps of all. So
// a source that hides it cannot go on with what the old keys have signed, even if its
// version is greater.
func TestNewestRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.repo.Timestamp.Signed.Version = 1 << 50
		w.republish()
		old := w.stale() // With stolen keys.
		w.repo.NextRoot(func() { w.repo.SetKeys("timestamp", 1, tuftest.NewKey(t)) })
		w.repo.Timestamp.Signed.Version = 7
		w.next()
		w.cfg.Repositories[0].Sources = []tufclient.Source{old, w.mirror}
		must(t, w.check())
		must(t, w.update("1.1.0"))
	})
}

// TestLateSource: one that does not answer in time has its turn if the others fail.
func TestLateSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		liar := w.stale()
		w.next()
		liar.Files["metadata/timestamp.json"] = tuftest.Sign(t, w.repo.Timestamp, tuftest.NewKey(t))
		w.mirror.Body = func(ctx context.Context, _ string, data []byte) io.Reader {
			return io.MultiReader(pause{ctx}, bytes.NewReader(data))
		}
		w.cfg.Repositories[0].Sources = []tufclient.Source{liar, w.mirror}
		must(t, w.check())
		must(t, w.lookup("1.1.0"))
	})
}

// A pause is the beginning of a body that comes late.
type pause struct{ ctx context.Context }

func (p pause) Read([]byte) (int, error) {
	select {
	case <-p.ctx.Done():
		return 0, p.ctx.Err()
	case <-time.After(12 * time.Second):
		return 0, io.EOF
	}
}

// TestAllStale: what all sources say is older than what is known, and the check ends.
func TestAllStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		old := w.stale()
		w.next()
		must(t, w.check())
		before := w.kept()
		w.cfg.Repositories[0].Sources = []tufclient.Source{old, down{old}, old}
		if err := w.check(); !errors.Is(err, tufclient.ErrRollback) || !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %v", err)
		}
		if !maps.Equal(before, w.kept()) {
			t.Error("something has changed")
		}
	})
}

// TestHaltIsSeen: a plan that was halted is seen, though the first source hides it.
func TestHaltIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.repo.DelegatePlans()
		w.next()
		w.plan(false)
		old := w.stale()
		w.plan(true)
		w.cfg.Repositories[0].Sources = []tufclient.Source{old, w.mirror}
		must(t, w.check())
		if o, err := w.offer(); !errors.Is(err, target.ErrHeld) {
			t.Errorf("halted: %+v, %v", o, err)
		}
	})
}

// plan publishes a plan by which it is the turn of 1.1.0 for everybody, or nobody's.
func (w *world) plan(halt bool) {
	w.t.Helper()
	r := target.Rollout{Release: "1.1.0", Begins: time.Now().UTC(), Waves: []target.Wave{{Percent: 100}}, Halt: halt}
	text, err := target.Plan{Schema: target.Schema, Rollouts: []target.Rollout{r}}.Encode()
	must(w.t, err)
	w.repo.Add("rollout", target.PlanPath, text, nil)
	w.repo.Next("rollout")
	w.republish()
}

func (w *world) offer() (*tufclient.Offer, error) {
	w.t.Helper()
	return w.view.Offer(w.t.Context(), machine, func(string) int { return 0 })
}
