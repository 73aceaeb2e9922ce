package tufrepo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"leap.example/updater/target"
)

// unreadable makes what a program of before would have: an event with a plan that
// nobody can read, past all checks.
func unreadable(t *testing.T, r *Repo) *Event {
	t.Helper()
	e, err := r.Replan(t.Context(), "bad", "", func(p target.Plan) (target.Plan, error) { return p, nil }, begin)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(file, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, f, err := open(t.Context(), file, target.PlanPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := put(filepath.Join(e.Dir, "content", target.PlanPath), m, 0o600); err != nil {
		t.Fatal(err)
	}
	listed := planOf(e.next["rollout"])
	listed.Length, listed.Hashes = m.n, metadata.Hashes{"sha256": m.sum.Sum(nil)}
	e.Files = []File{{target.PlanPath, m.n, m.digest()}}
	if err := e.write(); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestUnreadablePlan: nobody reads, signs, publishes or calls intact a plan that no
// client could read, and where one is public already the next one takes its place.
func TestUnreadablePlan(t *testing.T) {
	k := signers(t, "alice", "bob", "rollout", "online")
	r := published(t, k)
	e := unreadable(t, r)
	if _, err := ReadEvent(e.Dir); !errors.Is(err, target.ErrPlan) || !strings.Contains(err.Error(), "leap-sign rollout") {
		t.Errorf("read: %v", err)
	}
	e.plans = nil // As a program of before.
	signAll(t, e, k)
	if err := r.Publish(t.Context(), "bad", k["online"], begin, nil); !errors.Is(err, target.ErrPlan) {
		t.Errorf("published: %v", err)
	}
	// Its plan did not come, and was put into the public tree before.
	f := e.Files[0]
	if err := os.MkdirAll(filepath.Join(r.Public(), "targets"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(e.Dir, "content", target.PlanPath), filepath.Join(r.Public(), publicFile(f.Path, f.SHA256))); err != nil {
		t.Fatal(err)
	}
	if err := r.Publish(t.Context(), "bad", k["online"], begin, nil); !errors.Is(err, target.ErrPlan) {
		t.Errorf("published without content: %v", err)
	}
	before, err := loadState(r.Public())
	if err != nil {
		t.Fatal(err)
	}
	after, err := e.applyTo(before)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.publishRole(e.next["rollout"], "2.rollout.json"); err != nil {
		t.Fatal(err)
	}
	if err := r.publishOnline(t.Context(), before, after, k["online"], begin, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), r.Public(), nil, false, begin, nil); !errors.Is(err, target.ErrPlan) {
		t.Errorf("verified: %v", err)
	}
	if _, err := r.Replan(t.Context(), "next", "", func(p target.Plan) (target.Plan, error) { return p, nil }, begin); !errors.Is(err, target.ErrPlan) || !strings.Contains(err.Error(), "--add rollout.json=FILE") {
		t.Errorf("changed: %v", err)
	}
	// The way out that this names.
	file := filepath.Join(t.TempDir(), "plan")
	if err := os.WriteFile(file, []byte(`{"schema": 1, "rollouts": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	mend, err := r.Change(t.Context(), "mend", "", []Addition{{Path: target.PlanPath, File: file}}, nil, begin, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := mend.Changes("rollout")
	if err != nil || !strings.Contains(list[len(list)-2].Old, "not shown") || !strings.Contains(list[len(list)-1].New, "of 0 releases") {
		t.Errorf("%+v, %v", list, err)
	}
	signAll(t, mend, k)
	if err := r.Publish(t.Context(), "mend", k["online"], begin, nil); err != nil {
		t.Fatal(err)
	}
	if report, err := Verify(t.Context(), r.Public(), nil, false, begin, nil); err != nil || report.Plan == nil {
		t.Errorf("%+v, %v", report, err)
	}
}
