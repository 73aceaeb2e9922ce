package update

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leap.example/appliance/node"
)

// turns opens where nodes agree, if the document says where, for one look.
func (u *Updater) turns(d node.Document) (ts turns, w *wait) {
	slot := d.Updates.Slot
	if slot == nil {
		return ts, nil
	}
	password, err := u.host.Secret(d.Secrets[slot.Secret])
	if err != nil {
		return ts, failed(fmt.Errorf("the password of the nodes' account on the database: %w", err))
	}
	a, err := u.cfg.Agree(*slot, password)
	if err != nil {
		return ts, failed(fmt.Errorf("the place where nodes agree on restarts: %w", err))
	}
	return turns{Agreement: a, node: u.cfg.Node, watch: &u.watch}, nil
}

// turn has this node restart and no other one, from now until it is good again. It
// returns a wait if that cannot be.
func (u *Updater) turn(ctx context.Context, ts turns, s *state, release string, d node.Document) *wait {
	if ts.alone() {
		return nil
	}
	s.Turn = true // Before it is: otherwise a crash would leave it taken.
	if err := u.keep(*s); err != nil {
		return failed(err)
	}
	err := ts.take(ctx, release)
	if err == nil {
		if err = u.up(ctx, ts); err == nil {
			err = ts.restart(ctx, release, u.host.Within(d)+startsFor)
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errStop):
		return &wait{why: node.UpdateStopped, release: release, err: err, pause: turnEvery}
	}
	return &wait{why: node.UpdateTurn, release: release, err: err, pause: turnEvery}
}

// startsFor is what three starts may take beside the time of their trials.
const startsFor = 10 * time.Minute

// up reports whether the database can do without this node.
func (u *Updater) up(ctx context.Context, ts turns) error {
	ctx, cancel := context.WithTimeout(ctx, asksFor)
	defer cancel()
	if err := ts.Up(ctx); err != nil {
		return fmt.Errorf("the node does not restart while a database node is down: %w", err)
	}
	return nil
}

// Again is an operator's word that he has looked: the turn is free again, and the
// newest release that was found bad may be tried once more.
func (u *Updater) Again(ctx context.Context) error {
	select {
	case u.looking <- struct{}{}:
		defer func() { <-u.looking }()
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(asksFor):
		return errors.New("the node is busy with an update: leap status says with what")
	}
	d, _ := u.host.Document()
	if d.Updates == nil {
		return errors.New("the document of this node says nothing of updates")
	}
	ts, w := u.turns(d)
	if w != nil {
		return w.err
	}
	defer ts.end()
	if err := ts.clear(ctx); err != nil {
		return err
	}
	s, err := u.load()
	if err != nil {
		return err
	}
	if bad := u.host.Image().Bad; len(bad) > 0 && s.Armed == "" {
		s.Again = bad[0].Version
	}
	s.Back, s.Reason = "", ""
	if err := u.keep(s); err != nil {
		return err
	}
	u.mu.Lock()
	u.damage = ""
	u.mu.Unlock()
	u.Wake()
	return nil
}
