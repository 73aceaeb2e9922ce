package tufclient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A trusted is what is believed of one repository at one time.
type trusted struct {
	repo     *repository
	source   Source // That which had it.
	now      time.Time
	state    state // With delegated roles, as they are met.
	root     *metadata.Metadata[metadata.RootType]
	snapshot *metadata.Metadata[metadata.SnapshotType]
	targets  *metadata.Metadata[metadata.TargetsType]
}

// forget drops delegated roles that there are no longer.
func (t *trusted) forget() {
	maps.DeleteFunc(t.state.files, func(role string, _ []byte) bool {
		return !slices.Contains(metadata.TOP_LEVEL_ROLE_NAMES[:], role) && t.snapshot.Signed.Meta[role+".json"] == nil
	})
}

// topLevel does all that follows the root.
func (t *trusted) topLevel(ctx context.Context) error {
	if err := fresh(metadata.ROOT, t.root.Signed.Expires, t.now); err != nil { // 5.3.10.
		return err
	}
	timestamp, err := t.timestamp(ctx)
	if err != nil {
		return err
	}
	if err := t.loadSnapshot(ctx, timestamp); err != nil {
		return err
	}
	t.targets, err = t.role(ctx, metadata.TARGETS, func(m *metadata.Metadata[metadata.TargetsType]) error {
		return byRoot(t.root, metadata.TARGETS, m)
	})
	return err
}

// roots follows new roots one by one (5.3). It reports whether there were any,
// also if it ends with an error.
func (t *trusted) roots(ctx context.Context) (moved bool, err error) {
	t.root, err = selfSigned(t.state.files[metadata.ROOT])
	if err != nil {
		return false, err
	}
	for range t.repo.limits.Roots {
		want := t.root.Signed.Version + 1
		data, err := t.repo.limits.read(ctx, t.source, metadataName(metadata.ROOT, want), t.repo.limits.Root)
		if absent(err) {
			return moved, nil
		}
		if err != nil {
			return moved, err
		}
		next, err := successor(t.root, data)
		if err != nil {
			return moved, err
		}
		t.state.follow(t.root, next, data)
		t.root, moved = next, true
	}
	return moved, ErrRoots
}

// successor reads the root that comes after one.
func successor(root *metadata.Metadata[metadata.RootType], data []byte) (*metadata.Metadata[metadata.RootType], error) {
	next, err := parse[metadata.RootType](data)
	if err != nil {
		return nil, err
	}
	// 5.3.4: signed by those of the old one and by its own.
	if err := errors.Join(byRoot(root, metadata.ROOT, next), byRoot(next, metadata.ROOT, next)); err != nil {
		return nil, err
	}
	return next, version(metadata.ROOT, next.Signed.Version, root.Signed.Version+1) // 5.3.5.
}

// before returns metadata that were trusted earlier, as far as they are under the
// root in force. Nil: there are none.
func before[T metadata.Roles](s state, root *metadata.Metadata[metadata.RootType], role string) *metadata.Metadata[T] {
	if s.files[role] == nil {
		return nil
	}
	m, err := parse[T](s.files[role])
	if err != nil || byRoot(root, role, m) != nil {
		return nil
	}
	return m
}

// timestamp returns the one in force (5.4).
func (t *trusted) timestamp(ctx context.Context) (*metadata.Metadata[metadata.TimestampType], error) {
	const role = metadata.TIMESTAMP
	data, err := t.repo.limits.read(ctx, t.source, metadataName(role, 0), t.repo.limits.Timestamp)
	if err != nil {
		return nil, err
	}
	m, err := parse[metadata.TimestampType](data)
	if err != nil {
		return nil, err
	}
	if err := byRoot(t.root, role, m); err != nil {
		return nil, err
	}
	old := before[metadata.TimestampType](t.state, t.root, role)
	switch {
	case old == nil:
	case m.Signed.Version < old.Signed.Version: // 5.4.3.1.
		return nil, fmt.Errorf("%w: timestamp %d after %d", ErrRollback, m.Signed.Version, old.Signed.Version)
	case m.Signed.Version == old.Signed.Version: // Nothing is new: what is known counts.
		return old, fresh(role, old.Signed.Expires, t.now)
	case m.Signed.Meta["snapshot.json"].Version < old.Signed.Meta["snapshot.json"].Version: // 5.4.3.2.
		return nil, fmt.Errorf("%w: snapshot %d after %d", ErrRollback, m.Signed.Meta["snapshot.json"].Version, old.Signed.Meta["snapshot.json"].Version)
	}
	if err := fresh(role, m.Signed.Expires, t.now); err != nil {
		return nil, err
	}
	t.state.files[role] = data
	return m, nil
}

// loadSnapshot reads the one that the timestamp names (5.5).
func (t *trusted) loadSnapshot(ctx context.Context, timestamp *metadata.Metadata[metadata.TimestampType]) error {
	const role = metadata.SNAPSHOT
	meta := timestamp.Signed.Meta["snapshot.json"]
	old := before[metadata.SnapshotType](t.state, t.root, role)
	if old != nil && old.Signed.Version == meta.Version && listed(meta, role, t.state.files[role]) == nil {
		t.snapshot = old
		return fresh(role, old.Signed.Expires, t.now)
	}
	data, err := t.fetch(ctx, role, meta, t.repo.limits.Snapshot)
	if err != nil {
		return err
	}
	m, err := parse[metadata.SnapshotType](data)
	if err != nil {
		return err
	}
	if err := byRoot(t.root, role, m); err != nil {
		return err
	}
	if err := version(role, m.Signed.Version, meta.Version); err != nil {
		return err
	}
	if old != nil { // 5.5.5.
		for name, was := range old.Signed.Meta {
			is := m.Signed.Meta[name]
			if is == nil {
				return fmt.Errorf("%w: %.80s is gone", ErrRollback, name)
			}
			if is.Version < was.Version {
				return fmt.Errorf("%w: %.80s %d after %d", ErrRollback, name, is.Version, was.Version)
			}
		}
	}
	if err := fresh(role, m.Signed.Expires, t.now); err != nil {
		return err
	}
	t.snapshot, t.state.files[role] = m, data
	return nil
}

// fetch reads metadata that others list, and compares them with that.
func (t *trusted) fetch(ctx context.Context, role string, meta *metadata.MetaFiles, limit int64) ([]byte, error) {
	if meta.Length > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes, more than %d", ErrLength, role, meta.Length, limit)
	}
	if meta.Length > 0 {
		limit = meta.Length
	}
	n := int64(0)
	if t.root.Signed.ConsistentSnapshot {
		n = meta.Version
	}
	data, err := t.repo.limits.read(ctx, t.source, metadataName(role, n), limit)
	if err != nil {
		return nil, err
	}
	return data, listed(meta, role, data)
}

// role returns the metadata of a role that lists targets (5.6): those that are
// known, if they are the ones that the snapshot lists, or else the source's. In
// both cases who delegates to it has to vouch for them.
func (t *trusted) role(ctx context.Context, name string, vouched func(*metadata.Metadata[metadata.TargetsType]) error) (*metadata.Metadata[metadata.TargetsType], error) {
	meta := t.snapshot.Signed.Meta[name+".json"]
	if meta == nil {
		return nil, fmt.Errorf("%w: the snapshot does not list %s", ErrMixed, name)
	}
	judge := func(data []byte) (*metadata.Metadata[metadata.TargetsType], error) {
		if err := listed(meta, name, data); err != nil {
			return nil, err
		}
		m, err := parse[metadata.TargetsType](data)
		if err != nil {
			return nil, err
		}
		if err := vouched(m); err != nil {
			return nil, err
		}
		if err := version(name, m.Signed.Version, meta.Version); err != nil {
			return nil, err
		}
		return m, fresh(name, m.Signed.Expires, t.now)
	}
	if data := t.state.files[name]; data != nil {
		if m, err := judge(data); err == nil {
			return m, nil
		}
	}
	data, err := t.fetch(ctx, name, meta, t.repo.limits.Targets)
	if err != nil {
		return nil, err
	}
	m, err := judge(data)
	if err != nil {
		return nil, err
	}
	t.state.files[name] = data
	return m, nil
}
