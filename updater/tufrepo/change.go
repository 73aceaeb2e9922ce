package tufrepo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"leap.example/updater/target"
)

// An Addition is a target that is to be public.
type Addition struct {
	Path   string
	File   string // On this machine.
	Custom []byte // JSON that the metadata carry for it: of a release its target.Description.
}

// Change makes an event that adds targets and removes others. The role that
// vouches for a path is the one that clients ask for it. The files are copied
// into the event while they are hashed.
func (r *Repo) Change(ctx context.Context, name, why string, add []Addition, remove []string, now time.Time, progress Progress) (*Event, error) {
	if len(add)+len(remove) == 0 {
		return nil, errNoChange
	}
	if r.Director {
		return nil, fmt.Errorf("%s is a director, which has no bytes: \"leap update allow\" lists those of the vendor", r.Name())
	}
	fill := func(e *Event) error { return r.removeAll(e, remove, now) }
	content := func(e *Event, dir string) error {
		for _, a := range add {
			if err := r.add(ctx, e, a, dir, now, progress); err != nil {
				return err
			}
		}
		return nil
	}
	return r.propose(name, why, now, fill, content)
}

var errNoChange = errors.New("nothing changes: name targets to add or to remove")

func (r *Repo) removeAll(e *Event, paths []string, now time.Time) error {
	for _, p := range paths {
		if err := r.remove(e, p, now); err != nil {
			return err
		}
	}
	return nil
}

// responsible is the delegated role that clients ask for a path.
func responsible(e *Event, p string) (string, error) {
	if err := target.CheckPath(p); err != nil {
		return "", err
	}
	if d := e.base[metadata.TARGETS].targets.Signed.Delegations; d != nil {
		for _, role := range d.Roles {
			if ok, err := role.IsDelegatedPath(p); err == nil && ok {
				return role.Name, nil
			}
		}
	}
	return "", fmt.Errorf("no role vouches for a path like %s: see the paths in \"leap-sign status\"", p)
}

func (r *Repo) remove(e *Event, p string, now time.Time) error {
	role, err := responsible(e, p)
	if err != nil {
		return err
	}
	s, err := r.advance(e, role, now)
	if err != nil {
		return err
	}
	if s.targets.Signed.Targets[p] == nil {
		return fmt.Errorf("%s has no target %s", role, p)
	}
	delete(s.targets.Signed.Targets, p)
	return nil
}

// publicFile is where a target is in the tree: with its hash before the name.
func publicFile(p, sum string) string {
	return path.Join("targets", path.Dir(p), sum+"."+path.Base(p))
}

// add copies a file into the event and has its role vouch for what was copied.
func (r *Repo) add(ctx context.Context, e *Event, a Addition, dir string, now time.Time, progress Progress) error {
	role, err := responsible(e, a.Path)
	if err != nil {
		return err
	}
	t, err := newTarget(a.Path, a.Custom) // Before a long copy.
	if err != nil {
		return err
	}
	for _, f := range e.Files {
		if f.Path == a.Path {
			return fmt.Errorf("%s is added twice", a.Path)
		}
	}
	m, file, err := open(ctx, a.File, a.Path, progress)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := put(filepath.Join(dir, filepath.FromSlash(a.Path)), m, 0o644); err != nil {
		return err
	}
	t.Length, t.Hashes = m.n, metadata.Hashes{"sha256": m.sum.Sum(nil)}
	e.Files = append(e.Files, File{a.Path, t.Length, m.digest()})
	return r.list(e, role, t, now)
}

// newTarget is a target of which nothing is known but what it carries.
func newTarget(path string, custom []byte) (*metadata.TargetFiles, error) {
	t := &metadata.TargetFiles{Path: path}
	if len(custom) > 0 {
		var o map[string]any
		if err := json.Unmarshal(custom, &o); err != nil {
			return nil, fmt.Errorf("what %s carries is no JSON object: %w", path, err)
		}
		raw := json.RawMessage(custom)
		t.Custom = &raw
	}
	return t, described(t)
}

// list has a role vouch for a target.
func (r *Repo) list(e *Event, role string, t *metadata.TargetFiles, now time.Time) error {
	s, err := r.advance(e, role, now)
	if err != nil {
		return err
	}
	if s.targets.Signed.Targets == nil {
		s.targets.Signed.Targets = map[string]*metadata.TargetFiles{}
	}
	s.targets.Signed.Targets[t.Path] = t
	return nil
}

// described checks that a full release says what it is, and that its path says the
// same: clients refuse another one.
func described(t *metadata.TargetFiles) error {
	if _, err := target.ParsePath(t.Path); err != nil {
		return nil // Nothing that clients run as it is.
	}
	if t.Custom == nil {
		return fmt.Errorf("%s is a release and has no description: %w", t.Path, target.ErrDescription)
	}
	d, err := target.Parse(*t.Custom)
	if err == nil {
		err = d.Matches(t.Path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", t.Path, err)
	}
	return nil
}

// describes checks every release that a role vouches for.
func (s *signed) describes() error {
	for _, p := range targetsOf(s) {
		if err := described(s.targets.Signed.Targets[p]); err != nil {
			return err
		}
	}
	return nil
}
