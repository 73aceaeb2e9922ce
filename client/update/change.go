package update

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"leap.example/updater/target"
)

// change makes a version that is in its place the one that runs, or goes back.
func (u *Updater) change(ctx context.Context, s *State, from, to, came string) error {
	parts := partsThat(ctx, u.cfg.Parts, func(err error) bool { return err == nil })
	s.Trial = &Trial{From: from, To: to, Begun: u.now(), Came: came}
	for _, p := range parts {
		s.Trial.Parts = append(s.Trial.Parts, p.String())
	}
	if err := u.save(s); err != nil {
		return err
	}
	if err := u.link(to); err != nil {
		// The link may be the new one all the same; Settle finds out.
		return err
	}
	return u.judge(ctx, s, parts)
}

// link makes a version current.
func (u *Updater) link(version string) error {
	link, next := u.cfg.Prefix.join(currentLink), u.cfg.Prefix.join(currentLink+".new")
	if err := u.disk.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return full(err)
	}
	if err := u.disk.Symlink(filepath.Join(versionsDir, version), next); err != nil {
		return full(err)
	}
	if err := u.disk.Rename(next, link); err != nil {
		return full(err)
	}
	return full(u.disk.SyncDir(string(u.cfg.Prefix)))
}

// judge brings the parts to the version on trial, and decides. That is not left
// half done: it does not end with ctx.
func (u *Updater) judge(ctx context.Context, s *State, parts []Part) error {
	ctx = context.WithoutCancel(ctx)
	t := s.Trial
	if why := Bring(ctx, parts, t.To); why != nil {
		return u.fail(ctx, s, parts, why)
	}
	s.Trial = nil
	if o := s.Looked.Offer; o != nil && o.Version == t.To {
		s.Looked.Offer = nil
	}
	u.note(s, EventInstalled, t.To, "after "+t.From+"; "+t.Came)
	if err := u.save(s); err != nil {
		return err
	}
	u.prune(t.From, t.To)
	return nil
}

// judgeAlone decides a trial of which no part runs. One that may still start is waited
// for. If all are gone the program is tried once more by itself, as before it was
// installed: nobody else would ever decide.
func (u *Updater) judgeAlone(ctx context.Context, s *State) error {
	t := s.Trial
	gone := partsThat(ctx, u.cfg.Parts, func(err error) bool { return errors.Is(err, ErrGone) })
	wait := slices.DeleteFunc(slices.Clone(t.Parts), func(name string) bool {
		return slices.ContainsFunc(gone, func(p Part) bool { return p.String() == name })
	})
	if len(wait) > 0 {
		return fmt.Errorf("%w (%s after %s): start the %s, as the user whose leapc it is, or return with \"leapc update back\"",
			ErrUndecided, t.To, t.From, strings.Join(wait, " or the "))
	}
	err := u.tried(ctx, &target.Description{Version: t.To, OS: u.cfg.OS, Arch: u.cfg.Arch}, u.cfg.Prefix.Program(t.To))
	switch {
	case errors.Is(err, ErrOther) || errors.Is(err, ErrTry):
		return u.fail(ctx, s, nil, err)
	case err != nil:
		return fmt.Errorf("trying %s, of which nothing runs any more: %w", t.To, err)
	}
	return u.judge(ctx, s, nil)
}

// fail notes why a version is given up, and goes back.
func (u *Updater) fail(ctx context.Context, s *State, parts []Part, why error) error {
	s.Trial.Failed = short(why.Error())
	if err := u.save(s); err != nil {
		u.cfg.Log.Warn("the end of a trial was not noted", "err", err) // It goes back all the same.
	}
	return u.back(ctx, s, parts, why)
}

// back returns from the version on trial to the one before.
func (u *Updater) back(ctx context.Context, s *State, parts []Part, why error) error {
	ctx = context.WithoutCancel(ctx)
	t := s.Trial
	if err := u.link(t.From); err != nil {
		return errors.Join(why, err)
	}
	failed := &BackError{Version: t.To, From: t.From, Why: why, Back: Bring(ctx, parts, t.From)}
	u.giveUp(s, t.To, t.Failed)
	u.note(s, EventBack, t.From, t.To+": "+t.Failed)
	s.Trial = nil
	if err := u.save(s); err != nil {
		return errors.Join(failed, err)
	}
	u.discard(t.To)
	return failed
}

// Back returns to the version before by hand, and gives up the current one. Its
// error is a [BackError] if it did. [ErrNoBack]: there is none.
func (u *Updater) Back(ctx context.Context) error {
	if !u.cfg.Prefix.Mine() {
		return ErrNotMine
	}
	s, unlock, err := u.begin(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	current, err := u.cfg.Prefix.Current()
	if err != nil {
		return err
	}
	if t := s.Trial; t == nil || t.To != current {
		all, err := u.cfg.Prefix.Versions()
		if err != nil {
			return err
		}
		i := slices.Index(all, current)
		if i < 1 {
			return ErrNoBack
		}
		s.Trial = &Trial{From: all[i-1], To: current, Begun: u.now()}
	}
	s.Trial.Failed = "it was said to go back"
	for _, p := range u.cfg.Parts {
		s.Trial.Parts = append(s.Trial.Parts, p.String())
	}
	if err := u.save(s); err != nil {
		return err
	}
	return u.back(ctx, s, u.onTrial(ctx, s.Trial), errors.New(s.Trial.Failed))
}

// Settle ends a trial that another process has begun and did not end. It is for
// the parts themselves, too: one that runs the version on trial and answers has
// passed. [ErrUndecided]: there is a trial, none of its parts runs, and
// not all are gone.
func (u *Updater) Settle(ctx context.Context) error {
	if !u.cfg.Prefix.Mine() {
		return nil
	}
	s, unlock, err := u.begin(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return u.settle(ctx, s)
}

// settle is Settle with the lock held.
func (u *Updater) settle(ctx context.Context, s *State) error {
	t := s.Trial
	if t == nil {
		return nil
	}
	current, err := u.cfg.Prefix.Current()
	if err != nil {
		return err
	}
	asked := u.onTrial(ctx, t)
	switch {
	case t.Failed != "": // The process ended on the way back.
		return u.back(ctx, s, asked, errors.New(t.Failed))
	case current != t.To: // It ended before the link was the new one.
		s.Trial = nil
		return u.save(s)
	case len(t.Parts) > 0 && len(asked) == 0:
		return u.judgeAlone(ctx, s)
	}
	return u.judge(ctx, s, asked)
}

// prune removes the versions that are not to be kept.
func (u *Updater) prune(keep ...string) {
	entries, err := os.ReadDir(u.cfg.Prefix.join(versionsDir))
	if err != nil {
		u.cfg.Log.Warn("old versions were not removed", "err", err)
	}
	for _, e := range entries {
		if target.CheckVersion(e.Name()) == nil && !slices.Contains(keep, e.Name()) {
			u.discard(e.Name())
		}
	}
}

// discard removes a version. What cannot be removed takes room, and goes after the
// next update.
func (u *Updater) discard(version string) {
	dir := u.cfg.Prefix.join(versionsDir, version)
	for _, path := range []string{filepath.Join(dir, programFile), filepath.Join(dir, partFile), dir} {
		if err := u.disk.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			u.cfg.Log.Warn("a version was not removed", "version", version, "err", err)
		}
	}
}
