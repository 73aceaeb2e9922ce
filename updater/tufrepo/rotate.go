package tufrepo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A KeyChange is who shall sign roles from now on.
type KeyChange struct {
	Roles     []string // Each gets the same change.
	Add       []*PublicKey
	Remove    []string // IDs, their first 8 digits or more, or names.
	Threshold int      // Zero: as it was.
}

// Rotate makes an event that changes the keys of a role. The role that delegates
// to it signs that; the role itself is signed anew, by its new keys, so that
// clients are never left with metadata that no longer count. The keys of snapshot
// and timestamp come into use when the event is published.
func (r *Repo) Rotate(name, why string, c KeyChange, now time.Time) (*Event, error) {
	fill := func(e *Event) error {
		for _, role := range c.Roles {
			if err := r.rotate(e, role, c, now); err != nil {
				return err
			}
		}
		return apart(e)
	}
	return r.propose(name, why, now, fill, noContent)
}

// rotate changes the keys of one role.
func (r *Repo) rotate(e *Event, role string, c KeyChange, now time.Time) error {
	by := metadata.ROOT
	if !topLevel(role) {
		by = metadata.TARGETS
	}
	s, err := r.advance(e, by, now)
	if err != nil {
		return err
	}
	k, ok := s.delegate(role)
	if !ok {
		return fmt.Errorf("there is no role %q: see \"leap-sign status\"", role)
	}
	ids, err := r.newIDs(role, k.ids, c)
	if err != nil {
		return err
	}
	threshold := c.Threshold
	if threshold == 0 {
		threshold = k.threshold
	}
	if err := checkThreshold(role, threshold, len(ids), r.Director); err != nil {
		return err
	}
	for _, p := range c.Add {
		e.names[p.ID()] = p.Name
	}
	s.setKeys(role, c.Add, ids, threshold)
	if online(role) {
		return nil // Signed when the event is published.
	}
	_, err = r.advance(e, role, now)
	return err
}

// newIDs are the keys of the role after the change.
func (r *Repo) newIDs(role string, ids []string, c KeyChange) ([]string, error) {
	ids = slices.Clone(ids)
	for _, word := range c.Remove {
		var found []string
		for _, id := range ids {
			if r.Names[id] == word || len(word) >= 8 && strings.HasPrefix(id, word) {
				found = append(found, id)
			}
		}
		if len(found) != 1 {
			return nil, fmt.Errorf("%d keys of %s are called %q, one is required: see \"leap-sign status\"", len(found), role, word)
		}
		ids = slices.DeleteFunc(ids, func(id string) bool { return id == found[0] })
	}
	for _, p := range c.Add {
		if err := p.check(); err != nil {
			return nil, err
		}
		if slices.Contains(ids, p.ID()) {
			return nil, fmt.Errorf("%s signs %s already", p.Name, role)
		}
		ids = append(ids, p.ID())
	}
	return ids, nil
}

// setKeys writes the keys of a role, and drops those that no role has any longer.
func (s *signed) setKeys(name string, add []*PublicKey, ids []string, threshold int) {
	used := map[string]bool{}
	var all map[string]*metadata.Key
	if s.root != nil {
		role := s.root.Signed.Roles[name]
		role.KeyIDs, role.Threshold = ids, threshold
		for _, r := range s.root.Signed.Roles {
			for _, id := range r.KeyIDs {
				used[id] = true
			}
		}
		all = s.root.Signed.Keys
	} else {
		d := s.targets.Signed.Delegations
		for i := range d.Roles {
			if d.Roles[i].Name == name {
				d.Roles[i].KeyIDs, d.Roles[i].Threshold = ids, threshold
			}
			for _, id := range d.Roles[i].KeyIDs {
				used[id] = true
			}
		}
		all = d.Keys
	}
	for _, p := range add {
		all[p.ID()] = p.Key
	}
	maps.DeleteFunc(all, func(id string, _ *metadata.Key) bool { return !used[id] })
}

// apart keeps the online keys from signing anything else; see Policy.Check. One
// key must do for both: whoever publishes has one.
func apart(e *Event) error {
	root, targets := e.inForce(metadata.ROOT), e.inForce(metadata.TARGETS)
	var hot []string
	for _, role := range []string{metadata.SNAPSHOT, metadata.TIMESTAMP} {
		k, _ := root.delegate(role)
		hot = append(hot, k.ids...)
	}
	s, _ := root.delegate(metadata.SNAPSHOT)
	t, _ := root.delegate(metadata.TIMESTAMP)
	if !slices.ContainsFunc(s.ids, func(id string) bool { return slices.Contains(t.ids, id) }) {
		return fmt.Errorf("snapshot and timestamp would have no key in common, and one key signs both: change them together: %w", ErrPolicy)
	}
	for _, role := range append([]string{metadata.ROOT, metadata.TARGETS}, targets.delegations()...) {
		k, ok := root.delegate(role)
		if !ok {
			k, _ = targets.delegate(role)
		}
		for _, id := range k.ids {
			if slices.Contains(hot, id) {
				return fmt.Errorf("%s would sign %s and be online: make a key of its own: %w", call(e.names, id), role, ErrPolicy)
			}
		}
	}
	return nil
}
