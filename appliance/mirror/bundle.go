package mirror

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/updater/tufclient"
	"leap.example/updater/tufrepo"
)

// busyFor is how long a bundle waits for a copy that is being made.
const busyFor = 3 * time.Second

// Import takes a bundle that an operator brings, of so many bytes: it unpacks it
// beside the copies, where it takes no more than these, verifies it as any source, and
// copies what is new in it. Kinds of errors: Invalid, Limit (no room), Unavailable
// (something is being copied).
func (k *Keeper) Import(ctx context.Context, from io.Reader, bytes int64) error {
	m := k.wanted()
	if m == nil {
		return problem.Invalid.Errorf("this node keeps no copies of releases: set updates.mirror in its file, leap deploy")
	}
	select {
	case k.busy <- struct{}{}:
		defer func() { <-k.busy }()
	case <-time.After(busyFor):
		return problem.Unavailable.Errorf("the node is copying from a source: try again in some minutes")
	}
	dir := k.incoming()
	if err := os.RemoveAll(dir); err != nil { // Of one that was cut off.
		return err
	}
	limits := tufrepo.DefaultBundle
	limits.Bytes = min(limits.Bytes, bytes)
	trees, err := tufrepo.ReadBundle(ctx, k.fitting(from), dir, limits)
	if err == nil {
		for _, name := range []string{director, vendor} { // As when copying.
			if err == nil && slices.Contains(trees, name) {
				err = k.sync(ctx, name, *m, []tufclient.Source{tufclient.Dir(filepath.Join(dir, name))})
			}
		}
		if !slices.Contains(trees, director) && !slices.Contains(trees, vendor) {
			err = problem.Invalid.Errorf("the bundle has neither the vendor's repository nor the director")
		}
	}
	if errors.Is(err, tufclient.ErrSpace) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = problem.Limit.Errorf("there is no room for the bundle: %w", err)
	}
	if err != nil && problem.KindOf(err) == problem.Internal && ctx.Err() == nil {
		err = problem.Invalid.Errorf("the bundle: %w", err)
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// incoming is where bundles are unpacked.
func (k *Keeper) incoming() string { return filepath.Join(k.cfg.Dir, ".incoming") }

// fitting is a bundle, as long as there is room for what is read of it.
func (k *Keeper) fitting(from io.Reader) io.Reader {
	if k.cfg.Room == nil {
		return from
	}
	return fitting{from, k.cfg.Room}
}

type fitting struct {
	from io.Reader
	room func() int64
}

// Read implements io.Reader.
func (f fitting) Read(p []byte) (int, error) {
	if f.room() < int64(len(p)) {
		return 0, tufclient.ErrSpace
	}
	return f.from.Read(p)
}
