package tufrepo

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A Listing is a target of another repository that a director lists: the same
// path, length and hashes.
type Listing struct {
	Path   string
	Length int64
	Hashes map[string][]byte // By their kind; "sha256" is required.
	Custom []byte            // JSON; of a release its description, to which a director adds.
}

// Direct makes an event of a director that lists targets of another repository, in
// the place of what it lists under their paths, and takes others away.
func (r *Repo) Direct(name, why string, add []Listing, remove []string, now time.Time) (*Event, error) {
	if len(add)+len(remove) == 0 {
		return nil, errNoChange
	}
	if !r.Director {
		return nil, fmt.Errorf("%s is no director: \"leap-sign event new\" adds targets with their bytes", r.Name())
	}
	return r.propose(name, why, now, func(e *Event) error {
		if err := r.removeAll(e, remove, now); err != nil {
			return err
		}
		for _, l := range add {
			if err := r.direct(e, l, now); err != nil {
				return err
			}
		}
		return nil
	}, noContent)
}

func (r *Repo) direct(e *Event, l Listing, now time.Time) error {
	role, err := responsible(e, l.Path)
	if err != nil {
		return err
	}
	t, err := newTarget(l.Path, l.Custom)
	if err != nil {
		return err
	}
	if len(l.Hashes["sha256"]) != sha256.Size {
		return fmt.Errorf("%s has no SHA-256", l.Path)
	}
	t.Length, t.Hashes = l.Length, metadata.Hashes{}
	for kind, sum := range l.Hashes {
		t.Hashes[kind] = sum
	}
	return r.list(e, role, t, now)
}

// Listed are the paths that a tree lists, sorted: of a director's, what it allows. The
// tree was verified when it was copied; a tree that is not there lists nothing.
func Listed(public string) ([]string, error) {
	list, err := listings(public)
	var paths []string
	for _, l := range list {
		paths = append(paths, l.Path)
	}
	return paths, err
}

// Listings are what a repository lists now, sorted by path; none if nothing was
// published.
func (r *Repo) Listings() ([]Listing, error) { return listings(r.Public()) }

func listings(public string) ([]Listing, error) {
	st, err := loadState(public)
	if err != nil || st == nil {
		return nil, err
	}
	var list []Listing
	for _, role := range st.roles[metadata.TARGETS].delegations() {
		for _, p := range targetsOf(st.roles[role]) {
			t := st.roles[role].targets.Signed.Targets[p]
			l := Listing{Path: p, Length: t.Length, Hashes: map[string][]byte{}}
			for kind, sum := range t.Hashes {
				l.Hashes[kind] = sum
			}
			if t.Custom != nil {
				l.Custom = *t.Custom
			}
			list = append(list, l)
		}
	}
	return list, nil
}

// OnlineKeys are the IDs of the keys that sign snapshot and timestamp by the root that
// is public, the newest one also if its publication was interrupted; none if nothing
// was published.
func (r *Repo) OnlineKeys() ([]string, error) {
	st, err := loadState(r.Public())
	if err != nil || st == nil {
		return nil, err
	}
	return st.roles[metadata.ROOT].onlineKeys(), nil
}

// OnlineKeys are those by the root that the event brings; none if it brings none.
func (e *Event) OnlineKeys() []string {
	if s := e.next[metadata.ROOT]; s != nil {
		return s.onlineKeys()
	}
	return nil
}

// onlineKeys are those that a root has sign both: see apart.
func (s *signed) onlineKeys() []string {
	snapshot, _ := s.delegate(metadata.SNAPSHOT) // A root has both: sound.
	timestamp, _ := s.delegate(metadata.TIMESTAMP)
	return slices.DeleteFunc(slices.Clone(timestamp.ids), func(id string) bool { return !slices.Contains(snapshot.ids, id) })
}
