package update

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const lockPoll = 50 * time.Millisecond

// lock waits until no other process works on the directory.
func (u *Updater) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(u.cfg.Dir, 0o755); err != nil {
		return nil, full(err)
	}
	f, err := os.OpenFile(filepath.Join(u.cfg.Dir, "lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, full(err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // Which lets go.
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ErrBusy, ctx.Err(), f.Close())
		case <-time.After(lockPoll):
		}
	}
}

// begin waits until no other process works on the directory, and reads what is known.
func (u *Updater) begin(ctx context.Context) (s *State, unlock func(), err error) {
	if unlock, err = u.lock(ctx); err != nil {
		return nil, nil, err
	}
	known, err := ReadState(u.cfg.Dir)
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return &known, unlock, nil
}

// ErrBusy is that another process updates the same prefix.
var ErrBusy = errors.New("another leapc is at it: wait until it is done")
