package vpn

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"leap.example/client/control"
	"leap.example/client/vpn/machine"
	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/problem"
)

// start does what the settings ask for.
func (l *loop) start(ctx context.Context) {
	s := settings{Version: fileVersion}
	if err := load(l.cfg.Dir, settingsFile, &s, &s.Version); errors.Is(err, problem.Invalid) {
		l.broken, l.damaged = err.Error()+`; until then nothing leaves (lockdown)`, true
		s = settings{Version: fileVersion, Lockdown: true}
	} else if err != nil && !errors.Is(err, problem.NotExist) {
		l.broken = err.Error()
	}
	s.Exclude = s.Exclude[:min(len(s.Exclude), policy.MaxExclude)]
	l.prefs.Store(&s)
	l.state, _ = l.state.Step(time.Now(), machine.Set{Options: options(&s)})
	l.begin(ctx)
}

// begin opens the Path if the settings want one. Where that fails, the helper
// not running yet, it is tried again.
func (l *loop) begin(ctx context.Context) {
	s := l.prefs.Load()
	l.later = time.Time{}
	var err error
	switch {
	case s.Autoconnect || s.Up:
		err = l.up(ctx)
	case s.Lockdown:
		err = l.open(ctx)
		l.step(ctx, machine.Tick{})
	default:
		l.adopt(ctx)
	}
	if err != nil {
		l.broken = errNoHelper(err).Error()
		l.later = time.Now().Add(beginPause)
		if !s.Proxy.IsValid() {
			l.outside = control.VPNUnknown
		}
	} else if l.way.Load() != nil && !l.damaged {
		l.broken = ""
	}
}

// adopt finds out what the helper does that nobody here has asked for: a daemon
// before this one did, or the start of the computer. It stays until the user
// decides; until then it is looked at again.
func (l *loop) adopt(ctx context.Context) {
	mode, err := l.guarded(ctx)
	switch {
	case err != nil:
		l.outside, l.broken = control.VPNUnknown, err.Error()
	case mode != policy.Open:
		l.outside = mode.String()
		l.broken = `the helper still guards this computer's traffic, for a daemon that is gone: "leapc vpn up" connects, "leapc vpn down" lets traffic out`
	default:
		if l.outside != policy.Open.String() {
			l.outside, l.broken = policy.Open.String(), ""
		}
		l.later = time.Now().Add(adoptPause) // The helper may come later than the daemon.
		return
	}
	l.later = time.Now().Add(beginPause)
}

// guarded asks the helper for what it has applied. Without one, nobody guards.
func (v *VPN) guarded(ctx context.Context) (policy.Mode, error) {
	path, err := v.newPath(ctx, netip.AddrPort{})
	if errors.Is(err, problem.NotExist) {
		return policy.Open, nil
	}
	if err != nil {
		return policy.Blocked, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	s, err := path.Stats(ctx)
	return s.Mode, errors.Join(err, path.Close())
}

// options are those of the machine.
func options(s *settings) machine.Options {
	return machine.Options{Lockdown: s.Lockdown, LAN: s.LAN, Exclude: s.Exclude}
}
