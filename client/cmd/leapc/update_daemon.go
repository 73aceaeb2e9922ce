package main

import (
	"context"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"leap.example/client/control"
	"leap.example/client/update"
	"leap.example/client/vpn"
	"leap.example/services/protocol/problem"
)

// updates is what the daemon does about its own program: it announces, and starts
// again when it is asked to. It is a control.Updates.
type updates struct {
	watcher *update.Watcher // Nil: nobody looks.
	stop    func()          // Ends the daemon; nil: it cannot start again.
	self    string          // Its program.
	prefix  update.Prefix   // Nothing: it is in none.
	again   atomic.Bool     // It is to start again.
}

var _ control.Updates = (*updates)(nil)

// newUpdates returns those of this process.
func newUpdates(w *update.Watcher, stop func()) *updates {
	u := &updates{watcher: w, stop: stop}
	u.self, _ = os.Executable() // Without it there is no prefix.
	u.prefix, _ = update.Of(u.self)
	return u
}

// UpdateStatus implements control.Updates.
func (u *updates) UpdateStatus(context.Context) control.UpdateStatus {
	s := control.UpdateStatus{
		Schema: control.Schema, Version: ownVersion(), Program: u.self, Arguments: os.Args[1:], PID: os.Getpid(),
	}
	if u.prefix != "" {
		if current, err := u.prefix.Current(); err == nil && current != s.Version {
			s.Current = current
		}
	}
	if u.watcher == nil {
		return s
	}
	looked, why := u.watcher.Looked()
	s.Problem = why
	if o := looked.Offer; o != nil && o.Bad == "" && o.Version != s.Version && o.Version != s.Current {
		s.Available = o.Version
		if o.Due.After(time.Now()) {
			s.Due = &o.Due
		}
	}
	return s
}

// UpdateRestart implements control.Updates.
func (u *updates) UpdateRestart(context.Context) error {
	if u.stop == nil || u.self == "" {
		return problem.Unavailable.Errorf("this daemon cannot start again by itself")
	}
	u.again.Store(true)
	u.stop()
	return nil
}

// next is the program that is to be started in the place of this one; nothing:
// none is.
func (u *updates) next() string {
	if !u.again.Load() {
		return ""
	}
	return update.Start(u.self)
}

// watcher returns the one that looks for updates of the daemon's own program. Nil:
// it is in no prefix, or nobody vouches for updates.
func (a *app) watcher(v *vpn.VPN, log *slog.Logger) *update.Watcher {
	p, err := ownPrefix()
	if err != nil {
		return nil
	}
	status := func(ctx context.Context) (control.VPNStatus, error) { return v.VPNStatus(ctx), nil }
	cfg, err := a.updates(p, byVPN(status, a.wantsVPN), log)
	if err != nil {
		log.Warn("no updates are looked for", "err", err)
		return nil
	}
	cfg.Parts = []update.Part{self{}}
	u, err := update.New(cfg)
	if err != nil {
		log.Info("no updates are looked for", "err", err)
		return nil
	}
	return update.NewWatcher(u)
}

// self is the daemon as a part, as it sees itself: if it comes to be asked, it
// runs.
type self struct{}

func (self) String() string                          { return (*daemonPart)(nil).String() }
func (self) Version(context.Context) (string, error) { return ownVersion(), nil }
func (self) Restart(context.Context) error {
	return problem.Unavailable.Errorf("the daemon does not start again by itself in the middle of its start")
}
