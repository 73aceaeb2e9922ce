package tufclient

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"leap.example/updater/delta"
	"leap.example/updater/target"
)

// An Old is a file that is there already, like the program that runs, and from
// which a delta may lead to a new one.
type Old struct {
	io.ReaderAt
	SHA256 [sha256.Size]byte
	Length int64 // Bytes.
}

// A Transfer says how a target came.
type Transfer struct {
	Path    string  // What was fetched: a delta, the packed target or itself. Empty: nothing, it was there.
	Fetched int64   // How many bytes, with what was in vain.
	Failed  []error // Why smaller files did not do.
}

// FetchFrom brings a target into a slot, as Fetch does and with what it promises,
// by the smallest file that there is for it: a delta from old (nil: there is no
// old file), the target packed, or the target. Delta and packed one are vouched
// for by the first repository, and are unpacked while they come; what comes out is
// held against the full target in any case. When one of them fails, whatever the
// reason is, the next one is tried.
func (c *Client) FetchFrom(ctx context.Context, v *View, t *Target, old *Old, slot Slot) (Transfer, error) {
	d := &download{client: c, target: t, slot: slot}
	if whole, err := d.begin(); whole || err != nil {
		return Transfer{}, err
	}
	var tr Transfer
	for _, way := range ways(t, old) {
		small, err := v.Vouched(ctx, way.path)
		if errors.Is(err, ErrUnlisted) {
			continue
		}
		if err == nil {
			if small.Length >= t.Length-d.have {
				continue // What is missing is less.
			}
			err = d.by(ctx, small, way.unpack)
		}
		tr.Path, tr.Fetched = way.path, d.total
		if err == nil || d.final(ctx, err) {
			return tr, full(err)
		}
		tr.Failed = append(tr.Failed, err)
	}
	err := d.plain(ctx)
	tr.Path, tr.Fetched = t.Path, d.total
	return tr, err
}

// SaveFrom is Save by FetchFrom.
func (c *Client) SaveFrom(ctx context.Context, v *View, t *Target, old *Old, path string, mode fs.FileMode) (tr Transfer, err error) {
	err = c.save(t, path, mode, func(slot Slot) error {
		tr, err = c.FetchFrom(ctx, v, t, old, slot)
		return err
	})
	return tr, err
}

// A way makes a target of another one.
type way struct {
	path   string
	unpack unpack
}

type unpack func(ctx context.Context, w io.Writer, r io.Reader) error

// ways are those to a target, the best first.
func ways(t *Target, old *Old) (all []way) {
	if old != nil {
		h := delta.Header{Old: old.SHA256, OldLength: old.Length, New: t.SHA256, NewLength: t.Length}
		all = append(all, way{target.DeltaPath(old.SHA256, t.SHA256), func(ctx context.Context, w io.Writer, r io.Reader) error {
			return delta.Apply(ctx, w, old, r, h)
		}})
	}
	return append(all, way{target.PackedPath(t.Path), func(ctx context.Context, w io.Writer, r io.Reader) error {
		return delta.Unpack(ctx, w, r, t.Length)
	}})
}

// by fetches the target by way of a smaller one. Each source is asked for all of
// it. What a source that broke off has made of the target stays for the next way.
func (d *download) by(ctx context.Context, small *Target, unpack unpack) error {
	var errs []error
	for _, src := range small.repo.Sources {
		s := &stream{ctx: ctx, target: small, src: src}
		err := d.through(ctx, s, unpack)
		d.total += s.total
		if err == nil {
			if err = d.end(); err == nil || d.final(ctx, err) {
				return err
			}
			// It is what was vouched for, and so is that of the others.
			return errors.Join(err, d.restart())
		}
		if d.final(ctx, err) {
			return err
		}
		errs = append(errs, fmt.Errorf("%s: %w", src, err))
		if s.have > 0 && (s.err == nil || wrong(s.err)) {
			if err := d.restart(); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("fetching %s: %w", small.Path, errors.Join(errs...))
}

// through unpacks a stream into the slot.
func (d *download) through(ctx context.Context, s *stream, unpack unpack) error {
	defer s.close()
	if err := s.begin(); err != nil {
		return err
	}
	if err := d.restart(); err != nil {
		return err
	}
	if err := unpack(ctx, d, s); err != nil {
		return err
	}
	return s.end()
}
