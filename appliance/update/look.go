package update

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"leap.example/appliance/node"
	"leap.example/appliance/slots"
	"leap.example/services/protocol/problem"
	"leap.example/updater/target"
	"leap.example/updater/tufclient"
)

// stored is the schema of what nodes store beside their documents.
const stored = 1

// look is [Updater.Look] of a document that has updates.
func (u *Updater) look(ctx context.Context, d node.Document, settled bool) *wait {
	s, err := u.load()
	if err != nil {
		return failed(err)
	}
	ts, w := u.turns(d)
	if w != nil {
		return w
	}
	defer ts.end()
	if w = u.resume(ctx, ts, &s, d); w != nil {
		return w
	}
	if !settled {
		return busy("a document or a release is on trial")
	}
	if s.Armed != "" {
		if gone := time.Since(u.told); gone < rebootsFor {
			return &wait{why: node.UpdateArmed, release: s.Armed, pause: rebootsFor - gone}
		}
		err = u.disarm(ctx, &s)
	}
	if err != nil {
		w = unready(s.Armed, err)
	} else {
		if s.Armed == "" {
			_ = u.give(ctx, ts, &s) // A download may take hours. What fails is tried again below.
		}
		w = u.next(ctx, ts, &s, d)
	}
	if w.why != node.UpdateArmed {
		if err := u.give(ctx, ts, &s); err != nil {
			w.err, w.pause = errors.Join(w.err, fmt.Errorf("giving the turn back: %w", err)), turnEvery
		}
	}
	return w
}

// give gives back the turn, if the node has it: others need not wait for this one.
func (u *Updater) give(ctx context.Context, ts turns, s *state) error {
	if !s.Turn {
		return nil
	}
	if err := ts.give(ctx); err != nil {
		return err
	}
	s.Turn = false
	return u.keep(*s)
}

// failed is a look that ended with an error.
func failed(err error) *wait { return &wait{why: node.UpdateFailed, err: err, pause: againSoon} }

func busy(why string) *wait {
	return &wait{why: node.UpdateBusy, err: errors.New(why), pause: busyEvery}
}

// unready is that a release could not be armed, or taken back.
func unready(release string, err error) *wait {
	w := failed(fmt.Errorf("release %s: %w", release, err))
	w.release = release
	if errors.Is(err, problem.Unavailable) {
		w.why, w.pause = node.UpdateBusy, busyEvery
	}
	return w
}

// check sees both repositories as they are now.
func (u *Updater) check(ctx context.Context, r repositories) (*tufclient.View, error) {
	v, err := r.Check(ctx)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.proved, u.status.Checked = true, time.Now().UTC()
	return v, nil
}

// next looks for a release, and goes as far with it as is possible now.
func (u *Updater) next(ctx context.Context, ts turns, s *state, d node.Document) *wait {
	if u.host.Image().Loader == "" {
		return &wait{why: node.UpdateFailed, err: errors.New("this machine was started without the boot loader of its disk: a release there would never be started")}
	}
	r, err := u.repositories(*d.Updates)
	if err != nil {
		return failed(err)
	}
	defer r.close()
	v, err := u.check(ctx, r)
	if err != nil {
		return refused(err)
	}
	t, w := u.choose(ctx, v, s.Again, d)
	if w != nil {
		if t == nil {
			u.tidy("")
		}
		return w
	}
	release := t.Description.Version
	path := u.path(release)
	u.tidy(path)
	started := s.Armed == release // Before, and it did not come up: the boot loader counts.
	if !started && !u.fetched(t, path) {
		u.doing(ctx, node.UpdateDownload, release)
		if err := u.download(ctx, r, v, t, path); err != nil {
			w := refused(err)
			w.release = release
			return w
		}
		u.whole = t.SHA256
	}
	if open, from := d.Updates.Open(time.Now()); !open {
		return &wait{why: node.UpdateWindow, release: release, until: from, err: fmt.Errorf("it is downloaded, and waits for %s UTC, when the node may restart", from.Format("2006-01-02 15:04"))}
	}
	if w := u.turn(ctx, ts, s, release, d); w != nil {
		return w
	}
	if started {
		return u.restart(ctx, s)
	}
	return u.arm(ctx, s, t, path)
}

// choose finds the release that this node is to take now.
func (u *Updater) choose(ctx context.Context, v *tufclient.View, again string, d node.Document) (*tufclient.Target, *wait) {
	secret, err := u.secret()
	if err != nil {
		return nil, failed(err)
	}
	m := target.Machine{Variant: target.Node, Name: u.cfg.Node, Arch: runtime.GOARCH, Version: u.cfg.Version, State: stored, Document: d.Schema, RAM: u.cfg.RAM}
	o, err := v.Offer(ctx, m, func(release string) int {
		if d.Updates.Canary {
			return 0
		}
		return target.Position(secret, release)
	})
	if errors.Is(err, tufclient.ErrNothing) {
		return nil, u.nothing(ctx, v, m, err)
	}
	if err != nil {
		return nil, refused(err)
	}
	release := o.Target.Description.Version
	for _, b := range u.host.Image().Bad {
		if b.Version == release && release != again {
			return nil, &wait{why: node.UpdateBad, release: release, err: fmt.Errorf("%w: %s; a newer one is waited for, or an operator's word (leap update again)", slots.ErrBad, b.Reason)}
		}
	}
	if time.Now().Before(o.Due) {
		return o.Target, &wait{why: node.UpdateDue, release: release, until: o.Due, err: fmt.Errorf("this node's wave comes at %s", o.Due.UTC().Format("2006-01-02 15:04 UTC"))}
	}
	return o.Target, nil
}

// nothing says why there is no release: it is not of both, or there is none.
func (u *Updater) nothing(ctx context.Context, v *tufclient.View, m target.Machine, err error) *wait {
	if errors.Is(err, target.ErrHeld) || errors.Is(err, tufclient.ErrDisagreement) || errors.Is(err, tufclient.ErrExpired) {
		return refused(err)
	}
	alone, lone := v.Unvouched(ctx, m)
	switch {
	case lone != nil:
		return refused(lone)
	case len(alone) > 0:
		return &wait{why: node.UpdateUnvouched, err: fmt.Errorf("%w: the provider allows %s, which the vendor does not vouch for", tufclient.ErrDisagreement, strings.Join(alone, ", "))}
	}
	return &wait{why: node.UpdateNothing, err: passed(err)}
}

// passed is why releases were passed over, beside that there is none.
func passed(err error) error {
	for _, why := range []error{target.ErrStep, target.ErrState, target.ErrMemory} {
		if errors.Is(err, why) {
			return err
		}
	}
	return nil
}

// refused is an error of the repositories in words of the status.
func refused(err error) *wait {
	w := failed(err)
	switch {
	case errors.Is(err, tufclient.ErrExpired):
		w.why = node.UpdateExpired
	case errors.Is(err, target.ErrHeld): // Both list it, whatever else there is.
		w.why, w.pause = node.UpdateHeld, 0
	case errors.Is(err, tufclient.ErrDisagreement):
		w.why, w.pause = node.UpdateDisallowed, 0
		w.err = fmt.Errorf("the provider's director does not allow what the vendor has released: %w", err)
	}
	return w
}

// path is where a release is downloaded to.
func (u *Updater) path(release string) string {
	return filepath.Join(u.cfg.Dir, "leap_"+release+".efi")
}

// tidy removes downloads of other releases than the one at a path.
func (u *Updater) tidy(path string) {
	all, _ := filepath.Glob(filepath.Join(u.cfg.Dir, "leap_*")) // The pattern is well formed.
	for _, f := range all {
		if f == path || f == path+".part" {
			continue
		}
		if err := os.Remove(f); err != nil {
			u.log.Warn("an old download stays", "err", err)
		}
	}
}
