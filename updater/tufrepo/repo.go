package tufrepo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A Repo is a repository on this machine. Its methods may be called by several
// processes; those that change it exclude each other.
type Repo struct {
	dir string
	config

	// write replaces put in tests that break the disk.
	write func(path string, from io.Reader, mode fs.FileMode) error
}

// A Progress is told how many bytes of a file were read.
type Progress func(file string, done, total int64)

// Init makes a repository in a directory that does not exist or is empty, and its
// first event, "init": the roots and roles of the policy, to be signed by enough
// of their keys.
func Init(dir string, p Policy, now time.Time) (*Event, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return nil, fmt.Errorf("%s %w, and not empty", dir, ErrExists)
	}
	c := config{Format: format, Name: p.Name, Days: map[string]int{}, Names: map[string]string{}, Director: p.Director}
	for _, r := range p.Roles {
		c.Days[r.Role] = r.Days
		for _, k := range r.Keys {
			c.Names[k.ID()] = k.Name
		}
	}
	e := &Event{Name: "init", Why: "a new repository, " + p.Name, Made: now, names: c.Names, next: map[string]*signed{}}
	root := metadata.Root(c.until(metadata.ROOT, now))
	targets := metadata.Targets(c.until(metadata.TARGETS, now))
	targets.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	for _, r := range p.Roles {
		if topLevel(r.Role) {
			for _, k := range r.Keys {
				if err := root.Signed.AddKey(k.Key, r.Role); err != nil {
					return nil, err
				}
			}
			root.Signed.Roles[r.Role].Threshold = r.Threshold
			continue
		}
		d := metadata.DelegatedRole{Name: r.Role, Threshold: r.Threshold, Terminating: true, Paths: r.Paths}
		for _, k := range r.Keys {
			d.KeyIDs = append(d.KeyIDs, k.ID())
			targets.Signed.Delegations.Keys[k.ID()] = k.Key
		}
		targets.Signed.Delegations.Roles = append(targets.Signed.Delegations.Roles, d)
		e.next[r.Role] = &signed{role: r.Role, targets: metadata.Targets(c.until(r.Role, now))}
	}
	e.next[metadata.ROOT] = &signed{role: metadata.ROOT, root: root}
	e.next[metadata.TARGETS] = &signed{role: metadata.TARGETS, targets: targets}
	if len(targets.Signed.Delegations.Roles) == 0 {
		targets.Signed.Delegations = nil
	}
	r := &Repo{dir, c, put}
	e, err := r.place(e, nil)
	if err != nil {
		return nil, err
	}
	// Last: without this file the directory is no repository.
	return e, putJSON(r.configPath(), c, 0o644)
}

// Open opens a repository.
func Open(dir string) (*Repo, error) {
	r := &Repo{dir: dir, write: put}
	text, err := read(r.configPath(), maxSmall)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no repository: it has no leap-sign.json; \"leap-sign init\" makes one: %w", dir, err)
	}
	if err != nil {
		return nil, err
	}
	if err := decode(r.configPath(), text, &r.config); err != nil {
		return nil, err
	}
	return r, checkFormat(r.configPath(), r.Format)
}

func (r *Repo) configPath() string { return filepath.Join(r.dir, "leap-sign.json") }

// Public is the directory that is served.
func (r *Repo) Public() string { return filepath.Join(r.dir, "public") }

// Name is what the repository is called.
func (r *Repo) Name() string { return r.config.Name }

// EventDir is where an event of that name is, or would be.
func (r *Repo) EventDir(name string) string { return filepath.Join(r.dir, "events", name) }

// Events are the names of the events that wait, sorted.
func (r *Repo) Events() ([]string, error) {
	list, err := os.ReadDir(filepath.Join(r.dir, "events"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, d := range list {
		if d.IsDir() && eventName.MatchString(d.Name()) {
			names = append(names, d.Name())
		}
	}
	return names, nil
}

// Unused is a name for an event that none has, and none had: that name, or one made of it.
func (r *Repo) Unused(name string) string {
	for n := 1; ; n++ {
		free := name
		if n > 1 {
			free += "-" + strconv.Itoa(n)
		}
		used := false
		for _, dir := range []string{r.EventDir(free), filepath.Join(r.dir, "done", free)} {
			_, err := os.Lstat(dir)
			used = used || err == nil
		}
		if !used {
			return free
		}
	}
}

// Drop gives up an event.
func (r *Repo) Drop(name string) error {
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(filepath.Join(r.EventDir(name), "event.json")); err != nil || !eventName.MatchString(name) {
		return fmt.Errorf("there is no event %q: see \"leap-sign status\"", name)
	}
	return errors.Join(os.RemoveAll(r.EventDir(name)), syncDir(filepath.Join(r.dir, "events")))
}

// place gives a new event its directory, as a whole.
func (r *Repo) place(e *Event, fill func(dir string) error) (*Event, error) {
	if !eventName.MatchString(e.Name) {
		return nil, fmt.Errorf("%q is no name of an event: lower-case letters, digits, dots, - and _", e.Name)
	}
	place, done := r.EventDir(e.Name), filepath.Join(r.dir, "done", e.Name)
	for _, dir := range []string{place, done} {
		if _, err := os.Lstat(dir); err == nil {
			return nil, fmt.Errorf("event %s %w: choose another name", e.Name, ErrExists)
		}
	}
	e.Dir = filepath.Join(r.dir, "events", ".new-"+e.Name)
	if err := os.RemoveAll(e.Dir); err != nil { // Of a run that was interrupted.
		return nil, err
	}
	defer os.RemoveAll(e.Dir) // After the rename there is nothing to remove.
	if fill != nil {
		if err := fill(filepath.Join(e.Dir, "content")); err != nil {
			return nil, err
		}
	}
	if err := e.write(); err != nil {
		return nil, err
	}
	if _, err := ReadEvent(e.Dir); err != nil {
		return nil, err
	}
	if err := os.Rename(e.Dir, place); err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Join(r.dir, "events")); err != nil {
		return nil, err
	}
	return ReadEvent(place)
}

// lock keeps other processes from changing the repository.
func (r *Repo) lock() (unlock func(), err error) { return lock(r.dir) }

func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another process changes %s, wait for it: %w", dir, ErrBusy)
	}
	return func() { f.Close() }, nil // Closing unlocks.
}

// event begins an event that stands on what is public.
func (r *Repo) event(st *state, name, why string, now time.Time) *Event {
	return &Event{Name: name, Why: why, Made: now, names: maps.Clone(r.Names), next: map[string]*signed{}, base: maps.Clone(st.roles), roots: st.roots, was: st.planText()}
}

// advance has the event replace a role by its next version.
func (r *Repo) advance(e *Event, role string, now time.Time) (*signed, error) {
	if s := e.next[role]; s != nil {
		return s, nil
	}
	b := e.base[role]
	if b == nil {
		return nil, fmt.Errorf("there is no role %q that people sign: these are: %s", role, strings.Join(order(slices.Collect(maps.Keys(e.base))), ", "))
	}
	s, err := b.successor(r.until(role, now))
	e.next[role] = s
	return s, err
}

// propose makes an event of a repository that was published once.
func (r *Repo) propose(name, why string, now time.Time, fill func(*Event) error, content func(*Event, string) error) (*Event, error) {
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	st, err := loadState(r.Public())
	if err != nil {
		return nil, err
	}
	if st == nil {
		return nil, fmt.Errorf("nothing is published yet: sign and publish the event init first")
	}
	e := r.event(st, name, why, now)
	if err := fill(e); err != nil {
		return nil, err
	}
	return r.place(e, func(dir string) error { return content(e, dir) })
}

func noContent(*Event, string) error { return nil }

// Renew makes an event that only makes roles last longer.
func (r *Repo) Renew(name string, roles []string, now time.Time) (*Event, error) {
	return r.propose(name, "renew "+strings.Join(roles, ", "), now, func(e *Event) error {
		for _, role := range roles {
			if online(role) {
				return fmt.Errorf("%s is renewed by \"leap-sign timestamp\"", role)
			}
			if _, err := r.advance(e, role, now); err != nil {
				return err
			}
		}
		return nil
	}, noContent)
}
