package tufrepo

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"leap.example/updater/target"
)

// A Report is what a verified tree holds.
type Report struct {
	Roles   []RoleStatus `json:"roles"`
	Targets []File       `json:"targets"`
	Absent  []string     `json:"absent,omitempty"` // Paths of targets that are not there.
	Plan    *target.Plan `json:"plan,omitempty"`   // Nil: everybody takes a release at once.
}

// A RoleStatus is a role as it is public.
type RoleStatus struct {
	Role      string    `json:"role"`
	Version   int64     `json:"version"`
	Expires   time.Time `json:"expires"`
	Due       bool      `json:"due"` // It wants to be renewed.
	Threshold int       `json:"threshold"`
	Keys      []string  `json:"keys"`
	Paths     []string  `json:"paths,omitempty"`
}

// Verify judges a tree as a client does that trusts a root (a file of root
// metadata; nil: the first one of the tree, which proves nothing of who made it).
// It reads every file that the metadata vouch for. A partial tree, a mirror or that of a
// director, need not have all targets, and the report says which. An *ExpiredError comes only
// after everything else was found good; the report is complete then.
func Verify(ctx context.Context, public string, root []byte, partial bool, now time.Time, progress Progress) (*Report, error) {
	st, err := loadState(public)
	if err != nil {
		return nil, err
	}
	if st == nil {
		return nil, &DamageError{"timestamp.json", "it is missing: nothing was published there"}
	}
	if root != nil {
		if err := (&Event{roots: st.roots}).Anchor(root); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(st.checkOffline(), st.checkOnline()); err != nil {
		return nil, err
	}
	report := &Report{Roles: st.status(nil, now)}
	for _, role := range order(slices.Collect(maps.Keys(st.roles))) {
		for _, p := range targetsOf(st.roles[role]) {
			t := st.roles[role].targets.Signed.Targets[p]
			f := fileOf(p, t)
			err := intact(ctx, public, f, progress)
			if partial && errors.Is(err, fs.ErrNotExist) {
				report.Absent = append(report.Absent, p)
				continue
			}
			if err != nil {
				return nil, err
			}
			report.Targets = append(report.Targets, f)
			if p == target.PlanPath {
				if report.Plan, err = loadPlan(publicPlan(public, t), t); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, r := range report.Roles {
		if now.After(r.Expires) {
			return report, &ExpiredError{r.Role, r.Expires.Format(time.DateTime)}
		}
	}
	return report, nil
}

// intact reads a public target.
func intact(ctx context.Context, public string, f File, progress Progress) error {
	name := publicFile(f.Path, f.SHA256)
	m, file, err := open(ctx, filepath.Join(public, filepath.FromSlash(name)), f.Path, progress)
	if err != nil {
		return err
	}
	m.want = &f
	_, err = io.Copy(io.Discard, m)
	if errors.Is(err, ErrAltered) {
		err = &DamageError{name, "it has another content than the metadata vouch for"}
	}
	return errors.Join(err, file.Close())
}
