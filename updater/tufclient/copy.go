package tufclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A MetadataFile is metadata, as a source has them.
type MetadataFile struct {
	Name string // What a source is asked for.
	Data []byte // Byte for byte as they were fetched.
}

// Metadata returns all metadata of the first repository that are in force, in the
// order in which they become public: delegated roles, targets, snapshot, the roots
// from the one that the program was built with on, and last the timestamp. Whoever
// has these files has the repository, but for its targets. Roots that a source has,
// and that one is asked first for (nil: there is none such), are not fetched again.
func (v *View) Metadata(ctx context.Context, first Source) ([]MetadataFile, error) {
	t := v.trusted[0]
	roots, err := t.chain(ctx, first)
	if err != nil {
		return nil, err
	}
	var files []MetadataFile
	add := func(role string) error {
		meta := t.snapshot.Signed.Meta[role+".json"]
		if meta == nil {
			return fmt.Errorf("%w: the snapshot does not list %s", ErrMixed, role)
		}
		files = append(files, MetadataFile{t.metadataName(role, meta.Version), t.state.files[role]})
		return nil
	}
	var bad error
	err = t.walk(ctx, "", func(r reached) bool {
		if role := r.path[len(r.path)-1]; role != metadata.TARGETS {
			bad = errors.Join(bad, add(role))
		}
		return false
	})
	if err = errors.Join(err, bad); err != nil {
		return nil, err
	}
	slices.Reverse(files) // Those who are delegated to before those who delegate.
	if err := errors.Join(add(metadata.TARGETS), v.keep()); err != nil {
		return nil, err
	}
	files = append(files, MetadataFile{t.metadataName(metadata.SNAPSHOT, t.snapshot.Signed.Version), t.state.files[metadata.SNAPSHOT]})
	files = append(files, roots...)
	return append(files, MetadataFile{metadataName(metadata.TIMESTAMP, 0), t.state.files[metadata.TIMESTAMP]}), nil
}

// metadataName is what a source calls metadata that the root does not name.
func (t *trusted) metadataName(role string, version int64) string {
	if !t.root.Signed.ConsistentSnapshot {
		version = 0
	}
	return metadataName(role, version)
}

// chain returns every root from the one that the program was built with to the one
// in force, each verified by the one before it.
func (t *trusted) chain(ctx context.Context, first Source) ([]MetadataFile, error) {
	root, err := selfSigned(t.repo.Root)
	if err != nil {
		return nil, err
	}
	files := []MetadataFile{{metadataName(metadata.ROOT, root.Signed.Version), t.repo.Root}}
	for root.Signed.Version < t.root.Signed.Version {
		next, data, err := t.next(ctx, root, first)
		if err != nil {
			return nil, err
		}
		files = append(files, MetadataFile{metadataName(metadata.ROOT, next.Signed.Version), data})
		root = next
	}
	return files, nil
}

// next returns the root after one, from the first source that has a good one.
func (t *trusted) next(ctx context.Context, root *metadata.Metadata[metadata.RootType], first Source) (*metadata.Metadata[metadata.RootType], []byte, error) {
	want := root.Signed.Version + 1
	if want == t.root.Signed.Version {
		data := t.state.files[metadata.ROOT]
		next, err := successor(root, data)
		return next, data, err
	}
	sources := t.repo.Sources
	if first != nil {
		sources = slices.Concat([]Source{first}, sources)
	}
	var errs []error
	for _, src := range sources {
		data, err := t.repo.limits.read(ctx, src, metadataName(metadata.ROOT, want), t.repo.limits.Root)
		if err == nil {
			var next *metadata.Metadata[metadata.RootType]
			if next, err = successor(root, data); err == nil {
				return next, data, nil
			}
		}
		errs = append(errs, fmt.Errorf("%s: root %d: %w", src, want, err))
	}
	return nil, nil, errors.Join(errs...)
}

// All finds every target that the first repository lists, by itself, and that is not
// another one's for those who look it up. They are sorted by path.
func (v *View) All(ctx context.Context) ([]*Target, error) {
	t := v.trusted[0]
	var paths []string
	err := t.walk(ctx, "", func(r reached) bool {
		for p := range r.meta.Signed.Targets {
			paths = append(paths, p)
		}
		return false
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var all []*Target
	for _, p := range slices.Compact(paths) {
		one, err := v.Vouched(ctx, p)
		if errors.Is(err, ErrUnlisted) {
			continue // A role lists it that may not.
		}
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// Name is what a source calls the target.
func (t *Target) Name() string { return t.name }

// Hashes are all that are listed, by their kind.
func (t *Target) Hashes() map[string][]byte {
	all := map[string][]byte{}
	for kind, sum := range t.hashes {
		all[kind] = bytes.Clone(sum)
	}
	return all
}

// IsMetadata reports whether a name can be one that a source has metadata by.
func IsMetadata(name string) bool {
	rest, ok := strings.CutPrefix(name, "metadata/")
	return ok && strings.HasSuffix(rest, ".json") && !strings.Contains(rest, "/") && !strings.HasPrefix(rest, ".")
}
