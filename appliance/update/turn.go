package update

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"leap.example/appliance/node"
	"leap.example/services/protocol/problem"
	"leap.example/updater/target"
)

// An Agreement is where all nodes of a provider see the same. [problem.Stale] says
// that somebody else was faster.
type Agreement interface {
	Read(ctx context.Context, name string) (value []byte, rev string, err error) // Without a revision: there is nothing.
	Write(ctx context.Context, name, rev string, value []byte) error
	Up(ctx context.Context) error // Every node that keeps it is up.
	Close() error
}

// turnName is the name of the agreement about who restarts.
const turnName = "restart"

// Phases of a turn.
const (
	phaseFree    = ""
	phaseTaken   = "taken"      // The holder looks whether it may restart.
	phaseRestart = "restarting" // It has begun, and is not found good yet.
	phaseBack    = "back"       // It went back to the release before.
)

// takenFor is how long a turn may be taken and not used.
const takenFor = 10 * time.Minute

// asksFor is how long the database may take for one question.
const asksFor = 30 * time.Second

// A turn is who restarts, for all nodes to see.
type turn struct {
	Phase   string    `json:"phase"`
	Holder  string    `json:"holder,omitempty"`
	Release string    `json:"release,omitempty"`
	Reason  string    `json:"reason,omitempty"` // Why the holder went back.
	Since   time.Time `json:"since,omitzero"`   // By the holder's clock, for people.
	// Within is how long the phase lasts, as the holder expects: taken, it ends
	// then; restarting, something has gone wrong.
	Within node.Duration `json:"within,omitzero"`
}

// errTurn is that this node does not have the turn, wrapped.
var errTurn = errors.New("another node has the turn to restart")

// errStop is that nobody follows until an operator has looked, wrapped.
var errStop = errors.New("an operator has to look: then \"leap update again\"")

// turns is the turn as this node sees it. Without an agreement the node is alone, and
// has every turn.
type turns struct {
	Agreement
	node  string
	watch *watch
}

func (t turns) alone() bool { return t.Agreement == nil }

func (t turns) end() {
	if !t.alone() {
		_ = t.Close() // What was agreed is agreed.
	}
}

// A watch is since when a revision of the turn is the same, by this node's own watch.
type watch struct {
	rev   string
	since time.Time
}

func (t turns) read(ctx context.Context) (now turn, rev string, err error) {
	ctx, cancel := context.WithTimeout(ctx, asksFor)
	defer cancel()
	text, rev, err := t.Read(ctx, turnName)
	if err != nil || rev == "" {
		return now, rev, err
	}
	if t.watch.rev != rev {
		*t.watch = watch{rev, time.Now()}
	}
	if err := json.Unmarshal(text, &now); err != nil {
		return now, rev, fmt.Errorf("what the nodes have agreed about restarts cannot be read: %w; %w", err, errStop)
	}
	return now, rev, nil
}

func (t turns) write(ctx context.Context, rev string, next turn) error {
	ctx, cancel := context.WithTimeout(ctx, asksFor)
	defer cancel()
	next.Since = time.Now().UTC().Truncate(time.Second)
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	return t.Write(ctx, turnName, rev, text)
}

// take takes the turn for a release. It is errTurn or errStop if another node keeps
// this one from it.
func (t turns) take(ctx context.Context, release string) error {
	now, rev, err := t.read(ctx)
	if err != nil {
		return err
	}
	if err := t.free(now, release); err != nil {
		return err
	}
	err = t.write(ctx, rev, turn{Phase: phaseTaken, Holder: t.node, Release: release, Within: node.Duration(takenFor)})
	if errors.Is(err, problem.Stale) {
		return fmt.Errorf("%w: it was a moment faster", errTurn)
	}
	return err
}

// free reports why this node may not take the turn for a release.
func (t turns) free(now turn, release string) error {
	if now.Holder == t.node || now.Phase == phaseFree {
		return nil
	}
	unchanged := time.Since(t.watch.since)
	late := now.Within > 0 && unchanged > time.Duration(now.Within)
	switch {
	case now.Phase == phaseTaken && late:
		return nil
	case now.Phase == phaseTaken:
		return fmt.Errorf("%w: %s is about to, for release %s", errTurn, now.Holder, now.Release)
	case now.Phase == phaseBack && target.Compare(release, now.Release) > 0:
		return nil // It is another one that is to be tried.
	case now.Phase == phaseBack:
		return fmt.Errorf("%s went back from release %s: %s; %w", now.Holder, now.Release, now.Reason, errStop)
	case late:
		return fmt.Errorf("%s has restarted for release %s and is not good again after %v; %w", now.Holder, now.Release, unchanged.Round(time.Second), errStop)
	}
	return fmt.Errorf("%w: %s restarts for release %s", errTurn, now.Holder, now.Release)
}

// mine writes the turn that this node has on, or reports errTurn if it has none.
func (t turns) mine(ctx context.Context, next turn) error {
	now, rev, err := t.read(ctx)
	if err != nil {
		return err
	}
	if now.Holder != t.node || now.Phase == phaseFree {
		return fmt.Errorf("%w: this one has it no more", errTurn)
	}
	err = t.write(ctx, rev, next)
	if errors.Is(err, problem.Stale) {
		return fmt.Errorf("%w: it was taken away", errTurn)
	}
	return err
}

// restart says that this node restarts now, and is to be good again within a time.
func (t turns) restart(ctx context.Context, release string, within time.Duration) error {
	return t.mine(ctx, turn{Phase: phaseRestart, Holder: t.node, Release: release, Within: node.Duration(within)})
}

// back says that this node went back.
func (t turns) back(ctx context.Context, release, reason string) error {
	if t.alone() {
		return nil
	}
	err := t.mine(ctx, turn{Phase: phaseBack, Holder: t.node, Release: release, Reason: reason})
	if errors.Is(err, errTurn) {
		return nil // An operator has decided already.
	}
	return err
}

// give gives the turn back, if this node has it.
func (t turns) give(ctx context.Context) error {
	if t.alone() {
		return nil
	}
	now, rev, err := t.read(ctx)
	if err != nil || now.Holder != t.node || now.Phase == phaseBack {
		return err
	}
	err = t.write(ctx, rev, turn{})
	if errors.Is(err, problem.Stale) {
		return nil
	}
	return err
}

// clear takes the turn from whoever has it: an operator has looked.
func (t turns) clear(ctx context.Context) error {
	if t.alone() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, asksFor)
	defer cancel()
	_, rev, err := t.Read(ctx, turnName) // Whether it can be understood or not.
	if err != nil || rev == "" {
		return err
	}
	return t.write(ctx, rev, turn{})
}
