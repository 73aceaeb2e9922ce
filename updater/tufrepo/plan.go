package tufrepo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"leap.example/updater/target"
)

// A planned is what an event does to the plan of releases: clients read it, so
// signers are shown what is in it, and no plan that clients cannot read is signed.
type planned struct {
	old, new *target.Plan // Nil: there is none, or it is not known.
	unknown  string       // Why old is not known, though there is one.
	absent   bool         // New did not come with the event.
}

// wasPlan is where an event has the plan that is public, below its directory.
const wasPlan = "base/content/" + target.PlanPath

// readPlan reads what the event does to the plan in the name of a role; nil: nothing.
// Of a plan that is not valid the error is [target.ErrPlan].
func (e *Event) readPlan(role string) (*planned, error) {
	was, now := planOf(e.base[role]), planOf(e.next[role])
	if now == was || now != nil && was != nil && now.Equal(*was) {
		return nil, nil
	}
	p := &planned{}
	if was != nil {
		old, err := loadPlan(filepath.Join(e.Dir, filepath.FromSlash(wasPlan)), was)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			p.unknown = "it did not come with the event"
		case errors.Is(err, target.ErrPlan):
			p.unknown = plain(err.Error())
		case err != nil:
			return nil, err
		}
		p.old = old
	}
	if now != nil {
		fresh, err := loadPlan(filepath.Join(e.Dir, "content", target.PlanPath), now)
		if p.absent = errors.Is(err, fs.ErrNotExist); err != nil && !p.absent {
			return nil, err
		}
		p.new = fresh
	}
	return p, nil
}

func (e *Event) readPlans() error {
	e.plans = map[string]*planned{}
	for _, role := range e.Roles {
		p, err := e.readPlan(role)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Dir, err)
		}
		e.plans[role] = p
	}
	return nil
}

// planOf is the target of a role that is the plan; nil: it has none.
func planOf(s *signed) *metadata.TargetFiles {
	if s == nil || s.targets == nil {
		return nil
	}
	return s.targets.Signed.Targets[target.PlanPath]
}

// loadPlan reads a plan that metadata vouch for. Another file is ErrAltered.
func loadPlan(file string, t *metadata.TargetFiles) (*target.Plan, error) {
	text, err := readPlanFile(file, t)
	if err != nil {
		return nil, err
	}
	p, err := target.ParsePlan(text)
	if err == nil {
		// Signers are shown all of it, or nothing.
		err = decode("what it says", text, &target.Plan{})
	}
	if err != nil && !errors.Is(err, target.ErrPlan) {
		err = fmt.Errorf("%w: %w", target.ErrPlan, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: \"leap-sign rollout\" makes one that clients read", target.PlanPath, err)
	}
	return &p, nil
}

func readPlanFile(file string, t *metadata.TargetFiles) ([]byte, error) {
	if t.Length > target.MaxPlan {
		return nil, fmt.Errorf("%s: %w: it has %d bytes", target.PlanPath, target.ErrPlan, t.Length)
	}
	text, err := read(file, target.MaxPlan)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(text); int64(len(text)) != t.Length || !bytes.Equal(sum[:], t.Hashes["sha256"]) {
		return nil, fmt.Errorf("%s is not the file that the metadata vouch for: %w", file, ErrAltered)
	}
	return text, nil
}

// publicPlan is where the plan of a role is in a public tree.
func publicPlan(public string, t *metadata.TargetFiles) string {
	return filepath.Join(public, filepath.FromSlash(publicFile(target.PlanPath, fileOf(target.PlanPath, t).SHA256)))
}

// planText reads the plan that a state lists, whatever is in it. What cannot be
// read is nil: signers are told that it did not come.
func (st *state) planText() []byte {
	for _, s := range st.roles {
		if t := planOf(s); t != nil {
			text, err := readPlanFile(publicPlan(st.public, t), t)
			if err == nil {
				return text
			}
		}
	}
	return nil
}

// checkPlan judges the plan that a role vouches for, if it does, in a public tree.
func checkPlan(public string, s *signed) error {
	t := planOf(s)
	if t == nil {
		return nil
	}
	_, err := loadPlan(publicPlan(public, t), t)
	return err
}

// changes lists what a person wants to know of it.
func (p *planned) changes() (list []Change) {
	if p == nil {
		return nil
	}
	if p.unknown != "" {
		list = append(list, Change{Item: "the plan before", Old: "not shown: " + p.unknown})
	}
	if p.absent {
		return append(list, Change{Item: "the plan", New: "not shown: it did not come with the event, nobody can sign it"})
	}
	if p.new == nil {
		list = append(list, Change{Item: "the plan", Old: "it is removed: everybody takes every release at once"})
	}
	var old, fresh target.Plan
	if p.old != nil {
		old = *p.old
	}
	if p.new != nil {
		fresh = *p.new
	}
	for _, r := range old.Rollouts {
		if now, ok := fresh.Of(r.Release); !ok {
			list = append(list, Change{Item: "plan of " + r.Release, Old: r.String()})
		} else if now.String() != r.String() {
			list = append(list, Change{Item: "plan of " + r.Release, Old: r.String(), New: now.String()})
		}
	}
	for _, r := range fresh.Rollouts {
		if _, ok := old.Of(r.Release); !ok {
			list = append(list, Change{Item: "plan of " + r.Release, New: r.String()})
		}
	}
	if p.new != nil {
		list = append(list, Change{Item: "the plan", New: fmt.Sprintf("of %d releases, no other goes to anybody", len(fresh.Rollouts))})
	}
	return list
}

// Plan is the public plan of releases. Nil: there is none, and everybody takes a
// release as soon as it is public.
func (r *Repo) Plan() (*target.Plan, error) {
	st, err := loadState(r.Public())
	if err != nil || st == nil {
		return nil, err
	}
	return st.plan()
}

func (st *state) plan() (*target.Plan, error) {
	for _, s := range st.roles {
		if t := planOf(s); t != nil {
			return loadPlan(publicPlan(st.public, t), t)
		}
	}
	return nil, nil
}

// Replan makes an event that changes the plan of releases. If there is none, change
// is given one by which those that are public stay open to all.
func (r *Repo) Replan(ctx context.Context, name, why string, change func(target.Plan) (target.Plan, error), now time.Time) (*Event, error) {
	if r.Director {
		return nil, fmt.Errorf("%s is a director, the plan is its vendor's: \"leap update hold\" keeps a release from nodes", r.Name())
	}
	return r.propose(name, why, now, func(*Event) error { return nil }, func(e *Event, dir string) error {
		p, err := r.plan(now)
		if err != nil {
			return err
		}
		if p, err = change(p); err != nil {
			return err
		}
		text, err := p.Encode()
		if err != nil {
			return err
		}
		scratch, err := os.MkdirTemp("", "leap-sign-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(scratch)
		file := filepath.Join(scratch, target.PlanPath)
		if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
			return err
		}
		return r.add(ctx, e, Addition{Path: target.PlanPath, File: file}, dir, now, nil)
	})
}

// plan is the public one, or the one that changes nothing.
func (r *Repo) plan(now time.Time) (target.Plan, error) {
	p, err := r.Plan()
	if errors.Is(err, target.ErrPlan) {
		return target.Plan{}, fmt.Errorf("what is public is no plan, clients take nothing; write one and propose it (event new NAME --add %s=FILE): %w", target.PlanPath, err)
	}
	if err != nil {
		return target.Plan{}, err
	}
	if p != nil {
		return *p, nil
	}
	first := target.Plan{Schema: target.Schema}
	releases, err := r.Releases()
	for _, name := range releases {
		first = first.With(target.Rollout{Release: name, Begins: now.UTC().Truncate(time.Second), Waves: []target.Wave{{Percent: 100}}})
	}
	return first, err
}

// Releases are what the public releases are called, the oldest first.
func (r *Repo) Releases() ([]string, error) {
	st, err := loadState(r.Public())
	if err != nil || st == nil {
		return nil, err
	}
	all := []string{}
	for _, s := range st.roles {
		for _, p := range targetsOf(s) {
			if _, err := target.ParsePath(p); err != nil || s.targets.Signed.Targets[p].Custom == nil {
				continue
			}
			if d, err := target.Parse(*s.targets.Signed.Targets[p].Custom); err == nil {
				all = append(all, d.Release)
			}
		}
	}
	slices.SortFunc(all, target.Compare)
	return slices.Compact(all), nil
}
