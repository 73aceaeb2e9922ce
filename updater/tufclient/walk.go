package tufclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// walk visits the roles that may list a path, pre-order and depth first, in the
// order in which they are listed (5.6.7), until visit says that it has what it
// looked for. An empty path stands for all: then every role is visited.
//
// A role is visited once, by the first way that leads there, and verified against
// the delegator on that way. A role that cannot be had or verified ends the walk:
// what comes after it has less authority, and must not be asked instead.
func (t *trusted) walk(ctx context.Context, p string, visit func(reached) bool) error {
	type step struct {
		reached
		name string
		by   *metadata.Delegations
	}
	stack := []step{{reached: reached{meta: t.targets, path: []string{metadata.TARGETS}}}}
	visited := map[string]bool{metadata.TARGETS: true}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if at.by != nil {
			if visited[at.name] {
				continue
			}
			visited[at.name] = true
			if len(visited) > t.repo.limits.Roles {
				return fmt.Errorf("%w: more than %d", ErrDepth, t.repo.limits.Roles)
			}
			var err error
			if at.meta, err = t.delegated(ctx, at.name, at.by); err != nil {
				return err
			}
		}
		if visit(at.reached) {
			return nil
		}
		d := at.meta.Signed.Delegations
		if d == nil {
			continue
		}
		var next []step
		for _, r := range rolesFor(d, p) {
			next = append(next, step{reached{path: slices.Concat(at.path, []string{r.Name})}, r.Name, d})
			if r.Terminating && p != "" {
				stack = nil // Nobody else is asked for this path.
				break
			}
		}
		slices.Reverse(next)
		stack = append(stack, next...)
	}
	return nil
}

// rolesFor returns to whom the path is delegated; an empty one: all roles. Hash
// bins are too many to visit all.
func rolesFor(d *metadata.Delegations, p string) (all []metadata.RoleResult) {
	if d.Roles == nil && d.SuccinctRoles != nil && p != "" {
		return d.SuccinctRoles.GetRolesForTarget(p)
	}
	for _, r := range d.Roles {
		if p == "" || covers(r, p) {
			all = append(all, metadata.RoleResult{Name: r.Name, Terminating: r.Terminating})
		}
	}
	return all
}

// covers reports whether a role may list a path. It is not go-tuf's: that takes
// patterns as the operating system does, and prefixes of hashes in base 64 where
// the specification (4.5) has them in hex.
func covers(r metadata.DelegatedRole, p string) bool {
	for _, pattern := range r.Paths {
		if ok, err := path.Match(pattern, p); ok && err == nil {
			return true
		}
	}
	sum := sha256.Sum256([]byte(p))
	return slices.ContainsFunc(r.PathHashPrefixes, func(prefix string) bool {
		return prefix != "" && strings.HasPrefix(hex.EncodeToString(sum[:]), prefix)
	})
}

// delegated returns the metadata of a role, from the source of the check or, if
// that fails, from another one.
func (t *trusted) delegated(ctx context.Context, name string, by *metadata.Delegations) (*metadata.Metadata[metadata.TargetsType], error) {
	vouched := func(m *metadata.Metadata[metadata.TargetsType]) error { return byDelegator(by, name, m) }
	m, err := t.role(ctx, name, vouched)
	if err == nil {
		return m, nil
	}
	first := t.source
	defer func() { t.source = first }()
	for _, src := range t.repo.Sources {
		if src == first || ctx.Err() != nil {
			continue
		}
		t.source = src
		if m, err := t.role(ctx, name, vouched); err == nil {
			return m, nil
		}
	}
	return nil, fmt.Errorf("role %s: %w", name, err)
}
