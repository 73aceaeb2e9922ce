package update

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"leap.example/appliance/node"
	"leap.example/appliance/slots"
	"leap.example/services/protocol/problem"
	"leap.example/updater/tufclient"
)

// arm writes a release to be tried, and restarts the machine.
func (u *Updater) arm(ctx context.Context, s *state, t *tufclient.Target, path string) *wait {
	release := t.Description.Version
	u.doing(ctx, node.UpdateArming, release)
	f, err := os.Open(path)
	if err != nil {
		return failed(err)
	}
	defer f.Close() // Only read.
	s.Armed = release
	if err := u.keep(*s); err != nil {
		return failed(err)
	}
	to := slots.Target{Version: release, Size: t.Length, SHA256: hex.EncodeToString(t.SHA256[:]), Again: s.Again == release}
	// Whether it is armed all the same after an error, the next look finds out.
	if err := u.host.Arm(ctx, to, f); err != nil {
		if !errors.Is(err, problem.Unavailable) {
			u.whole = [sha256.Size]byte{} // The download may be why: it is looked through again.
		}
		return unready(release, err)
	}
	return u.restart(ctx, s)
}

// restart restarts the machine into the release that is armed.
func (u *Updater) restart(ctx context.Context, s *state) *wait {
	release := s.Armed
	u.log.InfoContext(ctx, "a release is armed: restarting", "release", release)
	err := u.host.Reboot(ctx)
	if err == nil {
		u.told = time.Now()
		u.tidy("")
		return &wait{why: node.UpdateArmed, release: release, pause: rebootsFor}
	}
	if ctx.Err() != nil { // This process is ended, most likely by that restart.
		return &wait{why: node.UpdateArmed, release: release}
	}
	err = fmt.Errorf("the machine does not restart: %w", err)
	return unready(release, errors.Join(err, u.disarm(ctx, s)))
}

// disarm takes back a release that was armed, where the restart did not follow: whether
// the machine may start it, and when, is asked anew before it is armed again. One that
// was started before stays.
func (u *Updater) disarm(ctx context.Context, s *state) error {
	err := u.host.Disarm(ctx, s.Armed)
	if errors.Is(err, slots.ErrStarted) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("it cannot be taken back: %w", err)
	}
	u.log.InfoContext(ctx, "a release is taken back that was not started", "release", s.Armed)
	s.Armed = ""
	return u.keep(*s)
}
