package tufclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"leap.example/updater/target"
)

// An Offer is a release that a machine can take, and when its turn is.
type Offer struct {
	Target *Target
	Due    time.Time // By the plan and by all permissions. Zero: at once, as there is none.
}

// Offer finds the newest release that the machine can take now by the plan of the
// first repository, [target.PlanPath]; if there is none, the one whose turn comes
// first. The machine's position in the waves of a release is told by position, see
// [target.Position]. No release is [ErrNothing], joined with why newer ones cannot be
// taken, among which is [target.ErrHeld]. A repository without a plan holds nothing
// back.
func (v *View) Offer(ctx context.Context, m target.Machine, position func(release string) int) (*Offer, error) {
	plan, err := v.plan(ctx)
	if err != nil {
		return nil, err
	}
	var best *Offer
	err = v.releases(ctx, m, func(t *Target) (bool, error) {
		due, err := t.due(m)
		if err != nil {
			return false, err
		}
		o := &Offer{t, due}
		if plan != nil {
			turn, err := plan.Due(*t.Description, m, position(t.Description.Release))
			if err != nil {
				return false, err
			}
			if turn.After(due) {
				o.Due = turn
			}
		}
		if best == nil || o.Due.Before(best.Due) {
			best = o
		}
		return !o.Due.After(v.trusted[0].now), nil
	})
	if best != nil && errors.Is(err, ErrNothing) {
		return best, nil
	}
	return best, err
}

// releases calls take with the releases that the machine can take, the newest
// first, until it says that it is done. If it never does, the error is ErrNothing,
// joined with why releases were passed over.
func (v *View) releases(ctx context.Context, m target.Machine, take func(*Target) (done bool, err error)) error {
	var all []target.Description
	err := v.trusted[0].walk(ctx, "", func(r reached) bool {
		for path := range r.meta.Signed.Targets {
			if d, err := target.ParsePath(path); err == nil && d.Updates(m) {
				all = append(all, d)
			}
		}
		return false
	})
	if err == nil {
		err = v.keep() // Or each check would fetch again what lists the releases.
	}
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b target.Description) int { return target.Compare(b.Version, a.Version) })
	errs := []error{ErrNothing}
	for _, d := range slices.Compact(all) {
		t, err := v.Lookup(ctx, d.Path())
		if err == nil {
			err = t.Description.Fits(m)
		}
		done := false
		if err == nil {
			done, err = take(t)
		}
		if done {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Read fetches a target into memory. One of more than limit bytes is [ErrLength].
func (c *Client) Read(ctx context.Context, t *Target, limit int64) ([]byte, error) {
	if t.Length > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes, more than %d", ErrLength, t.Path, t.Length, limit)
	}
	var s memory
	err := c.Fetch(ctx, t, &s)
	return s.data, err
}

// A memory is a slot of a small target.
type memory struct {
	data []byte
	at   int
}

// Read implements io.Reader.
func (m *memory) Read(b []byte) (int, error) {
	if m.at >= len(m.data) {
		return 0, io.EOF
	}
	n := copy(b, m.data[m.at:])
	m.at += n
	return n, nil
}

// Write implements io.Writer. A download writes at the end.
func (m *memory) Write(b []byte) (int, error) {
	m.data = append(m.data[:m.at], b...)
	m.at = len(m.data)
	return len(b), nil
}

// Seek implements io.Seeker, as far as a download needs it.
func (m *memory) Seek(offset int64, _ int) (int64, error) {
	m.at = int(offset)
	return offset, nil
}

// Truncate implements Slot.
func (m *memory) Truncate(size int64) error {
	m.data = bytes.Clone(m.data[:size])
	return nil
}

// Sync implements Slot.
func (m *memory) Sync() error { return nil }
