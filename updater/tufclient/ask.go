package tufclient

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// patience is how long the other sources have, once one has answered.
const patience = 10 * time.Second

// An asked is a source, with what it has answered at the beginning of a check: the
// next root and the timestamp. A source that had the time to answer says the same for
// the rest of the check.
type asked struct {
	Source
	got  map[string]said // By name. Nil: it has not answered in time.
	root error           // What is wrong with its roots.
}

// said is what a source has answered.
type said struct {
	data []byte
	err  error
}

// Fetch implements [Source].
func (a *asked) Fetch(ctx context.Context, name string, limit, off int64) (io.ReadCloser, error) {
	got, ok := a.got[name]
	switch {
	case !ok:
		return a.Source.Fetch(ctx, name, limit, off)
	case got.err != nil:
		return nil, got.err
	}
	return io.NopCloser(bytes.NewReader(got.data)), nil
}

// ask has the source answer. It reports whether it has a timestamp.
func (a *asked) ask(ctx context.Context, l Limits, root int64) bool {
	got := map[string]said{}
	for _, f := range []struct {
		name  string
		limit int64
	}{{metadataName(metadata.ROOT, root), l.Root}, {metadataName(metadata.TIMESTAMP, 0), l.Timestamp}} {
		data, err := l.read(ctx, a.Source, f.name, f.limit)
		if err != nil && ctx.Err() != nil {
			return false
		}
		if got[f.name] = (said{data, err}); err != nil && !absent(err) {
			break
		}
	}
	a.got = got
	return got[metadataName(metadata.TIMESTAMP, 0)].data != nil
}

// version is that of the timestamp that it claims to have.
func (a *asked) version() int64 {
	if a.got == nil {
		return -1
	}
	m, err := parse[metadata.TimestampType](a.got[metadataName(metadata.TIMESTAMP, 0)].data)
	if err != nil {
		return 0
	}
	return m.Signed.Version
}

// ask asks all sources at once, with no regard to what they say. It ends when all have
// answered, or when one has and the patience with the others is over.
func (r *repository) ask(ctx context.Context, root int64) []*asked {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all []*asked
	var asking sync.WaitGroup
	defer asking.Wait()
	come := make(chan bool, len(r.Sources))
	for _, src := range r.Sources {
		a := &asked{Source: src}
		all = append(all, a)
		asking.Go(func() { come <- a.ask(ctx, r.limits, root) })
	}
	var over <-chan time.Time
	for range r.Sources {
		select {
		case good := <-come:
			if good && over == nil {
				over = time.After(patience)
			}
		case <-over:
			cancel()
			return all
		}
	}
	return all
}

// refresh brings the top level of a repository up to date. What is newest counts,
// whoever has it: all sources are asked for the next root and the timestamp; first
// every root is followed that any of them has, and then the newest timestamp that is
// valid by it, with all that belongs to it from the same source. Where that fails the
// others come, and at last those that have not answered in time.
func (c *Client) refresh(ctx context.Context, r *repository) (*trusted, error) {
	s, err := r.load(c.cfg.Dir)
	if err != nil {
		return nil, err
	}
	root, err := selfSigned(s.files[metadata.ROOT])
	if err != nil {
		return nil, err
	}
	all := r.ask(ctx, root.Signed.Version+1)
	t := &trusted{repo: r, now: c.now(s), state: s}
	for _, a := range all {
		if a.got != nil {
			if err := c.follow(ctx, t, a); err != nil {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *asked) int { return cmp.Compare(b.version(), a.version()) })
	var errs []error
	for _, a := range all {
		if a.got == nil {
			if err := c.follow(ctx, t, a); err != nil {
				return nil, err
			}
		}
		now, err := t.from(a), a.root
		if err == nil {
			err = now.topLevel(ctx)
		}
		if err == nil {
			now.source, now.state.seen = a.Source, now.now.Truncate(time.Second)
			now.forget()
			return now, r.keep(c.cfg.disk, c.cfg.Dir, now.state)
		}
		errs = append(errs, fmt.Errorf("%s: %w", a, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// follow follows the roots that a source has. 5.3.8: one that was verified is kept,
// whatever comes after it. An error is that of the disk.
func (c *Client) follow(ctx context.Context, t *trusted, a *asked) error {
	t.source = a
	var moved bool
	if moved, a.root = t.roots(ctx); !moved {
		return nil
	}
	return t.repo.keep(c.cfg.disk, c.cfg.Dir, t.state)
}

// from is what is believed so far, with a source to go on with.
func (t *trusted) from(src Source) *trusted {
	return &trusted{repo: t.repo, source: src, now: t.now, state: t.state.clone(), root: t.root}
}
