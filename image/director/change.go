package director

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"leap.example/image/provider"
	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tufrepo"
)

// An Outcome is how far a change has come.
type Outcome struct {
	Event  string          `json:"event"`
	Why    string          `json:"why"`
	Public bool            `json:"public"` // Nodes see it, once it is pushed.
	Roles  []tufrepo.Tally `json:"roles"`  // Who has signed.
}

// Missing names the keys that can still sign, while too few have.
func (o Outcome) Missing() (list []string) {
	for _, r := range o.Roles {
		for _, g := range r.Groups {
			if g.Have < g.Want {
				return g.Missing
			}
		}
	}
	return nil
}

// Allow lists releases of the vendor for nodes, as it lists them. What was allowed of
// them before is replaced.
func (d *Director) Allow(ctx context.Context, releases []*tufclient.Target, p target.Permission) (*Outcome, error) {
	var add []tufrepo.Listing
	version := ""
	for _, t := range releases {
		text, err := t.Description.Permitted(p)
		if err != nil {
			return nil, err
		}
		version = t.Description.Version
		add = append(add, tufrepo.Listing{Path: t.Path, Length: t.Length, Hashes: t.Hashes(), Custom: text})
	}
	why := "allow release " + version
	if len(p.Nodes) > 0 {
		why += " to " + strings.Join(p.Nodes, ", ")
	}
	if !p.From.IsZero() {
		why += " from " + p.From.UTC().Format(time.DateTime) + " on"
	}
	name, err := d.name("allow-" + version)
	if err != nil {
		return nil, err
	}
	e, err := d.repo.Direct(name, why, add, nil, d.now())
	return d.begin(ctx, e, err)
}

// ErrNotAllowed is that a release is not allowed anyway.
var ErrNotAllowed = errors.New("it is not allowed to any node")

// Hold takes a release from the list: nodes that do not run it yet do not take it.
func (d *Director) Hold(ctx context.Context, version string) (*Outcome, error) {
	all, err := d.Allowed()
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, a := range all {
		if a.Version == version {
			paths = append(paths, a.Path)
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("release %s: %w (leap update status)", version, ErrNotAllowed)
	}
	name, err := d.name("hold-" + version)
	if err != nil {
		return nil, err
	}
	e, err := d.repo.Direct(name, "hold release "+version, nil, paths, d.now())
	return d.begin(ctx, e, err)
}

// Renew makes roles last longer that end soon. Nil: none does.
func (d *Director) Renew(ctx context.Context) (*Outcome, error) {
	roles, err := d.repo.Status(d.now())
	if err != nil {
		return nil, err
	}
	var due []string
	for _, r := range roles {
		if r.Due && r.Role != "snapshot" && r.Role != "timestamp" {
			due = append(due, r.Role)
		}
	}
	if len(due) == 0 {
		return nil, nil
	}
	name, err := d.name("renew")
	if err != nil {
		return nil, err
	}
	e, err := d.repo.Renew(name, due, d.now())
	return d.begin(ctx, e, err)
}

// name is one for an event that no other one has.
func (d *Director) name(base string) (string, error) {
	base = strings.ReplaceAll(base, "~", "-")
	for n := 1; ; n++ {
		name := base
		if n > 1 {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		_, err := os.Lstat(d.repo.EventDir(name))
		_, err2 := os.Lstat(filepath.Join(filepath.Dir(d.repo.Public()), "done", name))
		if os.IsNotExist(err) && os.IsNotExist(err2) {
			return name, nil
		}
		if err != nil && !os.IsNotExist(err) || err2 != nil && !os.IsNotExist(err2) {
			return "", errors.Join(err, err2)
		}
	}
}

// Event reads an event that waits: what a signer is shown.
func (d *Director) Event(name string) (*tufrepo.Event, error) {
	e, err := tufrepo.ReadEvent(d.repo.EventDir(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noEvent(name)
	}
	if err != nil {
		return nil, err
	}
	return e, d.anchored(e)
}

// anchored reports whether an event stands on what is public here.
func (d *Director) anchored(e *tufrepo.Event) error {
	root, err := d.Root()
	if err != nil || root == nil && e.First() {
		return err
	}
	return e.Anchor(root)
}

// Waiting are the events that wait for signatures.
func (d *Director) Waiting() ([]Outcome, error) {
	names, err := d.repo.Events()
	if err != nil {
		return nil, err
	}
	list := []Outcome{}
	for _, name := range names {
		e, err := d.Event(name)
		if err != nil {
			return nil, err
		}
		o := Outcome{Event: e.Name, Why: e.Why}
		if o.Roles, err = e.Tally(); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, nil
}

// Drop gives up an event that waits, also one that cannot be read.
func (d *Director) Drop(name string) error {
	names, err := d.repo.Events()
	if err == nil && !slices.Contains(names, name) {
		err = noEvent(name)
	}
	if err != nil {
		return err
	}
	return d.repo.Drop(name)
}

func noEvent(name string) error {
	return fmt.Errorf("no event %q waits for signatures (leap update director status)", name)
}

// begin signs a change that was just made. If the operator may not, it is given up.
func (d *Director) begin(ctx context.Context, e *tufrepo.Event, err error) (*Outcome, error) {
	if err != nil {
		return nil, err
	}
	if err := d.signed(ctx, e); err != nil {
		return nil, errors.Join(err, d.repo.Drop(e.Name))
	}
	return d.publish(ctx, e)
}

// Sign signs an event that waits with the operator's key, and makes it public if
// enough have signed.
func (d *Director) Sign(ctx context.Context, name string) (*Outcome, error) {
	e, err := d.Event(name)
	if err != nil {
		return nil, err
	}
	if err := d.signed(ctx, e); err != nil {
		return nil, err
	}
	return d.publish(ctx, e)
}

// signed signs with the operator's own key.
func (d *Director) signed(ctx context.Context, e *tufrepo.Event) error {
	if err := d.anchored(e); err != nil {
		return err
	}
	k, err := d.own()
	if err != nil {
		return err
	}
	if len(e.SignsFor(k.Public().ID())) == 0 {
		return fmt.Errorf("%s is no admin who signs this: %w (leap update director status)", d.op.Name, tufrepo.ErrNotSigner)
	}
	_, err = e.Sign(ctx, k)
	return err
}

// publish makes an event public that enough have signed.
func (d *Director) publish(ctx context.Context, e *tufrepo.Event) (*Outcome, error) {
	o := &Outcome{Event: e.Name, Why: e.Why}
	var err error
	if o.Roles, err = e.Tally(); err != nil {
		return nil, err
	}
	for _, r := range o.Roles {
		if !r.Done() {
			return o, nil
		}
	}
	if err := d.release(ctx, e); err != nil {
		return nil, err
	}
	o.Public = true
	root, err := d.Root()
	if err != nil {
		return nil, err
	}
	return o, provider.Write(d.i.Dir, "files/"+RootFile, root, 0o644)
}

// Roles are the roles as they are public, with when they end; none yet if nothing is.
func (d *Director) Roles() ([]tufrepo.RoleStatus, error) { return d.repo.Status(d.now()) }
