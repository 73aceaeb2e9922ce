package update

import (
	"context"
	"fmt"
	"slices"
	"time"

	"leap.example/appliance/node"
)

// resume goes on with what was armed before, if anything was. It returns a wait if
// that is all for now.
func (u *Updater) resume(ctx context.Context, ts turns, s *state, d node.Document) *wait {
	i := u.host.Image()
	switch {
	case s.Armed == u.cfg.Version && i.State == node.StateTrial:
		return u.prove(ctx, d)
	case s.Armed == u.cfg.Version:
		u.log.InfoContext(ctx, "the update is complete", "release", s.Armed)
		s.Armed, s.Back, s.Reason, s.Again = "", "", "", ""
		if err := u.keep(*s); err != nil {
			return failed(err)
		}
	case s.Armed != "" && len(i.Kept) == 0:
		return busy("which releases are on the disk is not known yet")
	case s.Armed != "":
		kept := slices.IndexFunc(i.Kept, func(r node.Release) bool { return r.Version == s.Armed && r.State == node.StateTrial })
		bad := slices.IndexFunc(i.Bad, func(b node.BadRelease) bool { return b.Version == s.Armed })
		switch {
		case kept >= 0 && bad < 0:
			return nil
		case bad >= 0:
			u.log.WarnContext(ctx, "the node went back", "release", s.Armed, "reason", i.Bad[bad].Reason)
			s.Back, s.Reason = s.Armed, i.Bad[bad].Reason
		}
		s.Armed, s.Again = "", ""
		if err := u.keep(*s); err != nil {
			return failed(err)
		}
	}
	if s.Back == "" {
		return nil
	}
	if err := ts.back(ctx, s.Back, s.Reason); err != nil {
		return &wait{why: node.UpdateBack, release: s.Back, err: fmt.Errorf("it went back: %s; the others do not know it yet: %w", s.Reason, err), pause: turnEvery}
	}
	s.Back, s.Reason, s.Turn = "", "", false
	if err := u.keep(*s); err != nil {
		return failed(err)
	}
	return nil
}

// prove sees the repositories for a release that is on trial.
func (u *Updater) prove(ctx context.Context, d node.Document) *wait {
	w := &wait{why: node.UpdateTrial, release: u.cfg.Version, pause: busyEvery}
	u.mu.Lock()
	proved := u.proved
	u.mu.Unlock()
	if proved {
		return w
	}
	r, err := u.repositories(beyond(d))
	if err == nil {
		defer r.close()
		_, err = u.check(ctx, r)
	}
	if err != nil {
		w.err, w.pause = err, time.Second
	}
	return w
}
