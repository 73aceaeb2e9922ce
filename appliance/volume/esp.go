package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/appliance/gpt"
)

// UseESP mounts the boot partition at a directory, calls f with that, flushes
// and unmounts it again, in every case. Only one process at a time does so: the
// others wait for the file lock, until ctx ends. A process that was killed
// meanwhile has left it mounted; the next one unmounts it first.
func (d Disk) UseESP(ctx context.Context, at, lock string, f func(dir string) error) (err error) {
	l, err := os.OpenFile(lock, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer l.Close() // It gives the lock back.
	for {
		if err = unix.Flock(int(l.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the boot partition is in use: %w", context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
	for unix.Unmount(at, 0) == nil {
		// More may lie below.
	}
	// Names of releases are ASCII.
	if err := unix.Mount(d.Partition(gpt.ESP), at, "vfat", flags, "umask=077,errors=remount-ro"); err != nil {
		return fmt.Errorf("mounting the boot partition: %w", err)
	}
	defer func() {
		if e := unix.Unmount(at, 0); e != nil {
			err = errors.Join(err, fmt.Errorf("unmounting the boot partition: %w", e))
		}
	}()
	return errors.Join(f(at), sync(at))
}

// sync has the kernel write all that it still holds of a file system.
func sync(at string) error {
	dir, err := os.Open(at)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(dir.Fd())), dir.Close())
}
