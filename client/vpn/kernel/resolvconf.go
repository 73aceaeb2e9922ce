package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// head begins the file that this package writes.
const head = "# Written by leapc while the VPN is on. The file before is "

// resolvConf is the file that the C library reads. The one before lies beside
// it, a symbolic link as it is, also through a crash or a restart of the
// machine. While a tunnel is up the file is watched: what another program
// writes becomes the one to put back.
type resolvConf struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex // Guards the files and text.
	text []byte     // What is to be in the file. Nil: it is not ours.

	stop func()
	done sync.WaitGroup
}

func (r *resolvConf) saved() string { return r.path + ".before-leap" }

func (r *resolvConf) use(_ context.Context, servers []netip.Addr) error {
	var b strings.Builder
	b.WriteString(head + r.saved() + ".\n")
	for _, a := range servers {
		fmt.Fprintf(&b, "nameserver %v\n", a)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = []byte(b.String())
	if err := r.put(); err != nil {
		return fmt.Errorf("writing the machine's resolvers: %w", err)
	}
	if r.stop == nil {
		if err := r.watch(); err != nil {
			return fmt.Errorf("watching the machine's resolvers: %w", err)
		}
	}
	return nil
}

// put writes the file, after it has saved one that is not ours. At no moment is
// there none.
func (r *resolvConf) put() error {
	have, err := os.ReadFile(r.path)
	if err == nil && bytes.Equal(have, r.text) {
		return nil
	}
	if !bytes.HasPrefix(have, []byte(head)) {
		if err := r.save(); err != nil {
			return err
		}
	}
	temporary := r.path + ".leap"
	if err := os.WriteFile(temporary, r.text, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, r.path)
}

// save gives the file a second name. Without a file, the saved one is empty.
func (r *resolvConf) save() error {
	temporary := r.saved() + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := unix.Linkat(unix.AT_FDCWD, r.path, unix.AT_FDCWD, temporary, 0) // A symbolic link itself, not what it points to.
	if errors.Is(err, fs.ErrNotExist) {
		err = os.WriteFile(temporary, nil, 0o644)
	}
	if err != nil {
		return err
	}
	return os.Rename(temporary, r.saved())
}

func (r *resolvConf) restore(context.Context) error {
	r.mu.Lock()
	stop := r.stop
	r.stop, r.text = nil, nil
	r.mu.Unlock()
	if stop != nil {
		stop()
		r.done.Wait()
	}
	have, err := os.ReadFile(r.path)
	switch {
	case err == nil && bytes.HasPrefix(have, []byte(head)):
		err = os.Rename(r.saved(), r.path)
	case err == nil || errors.Is(err, fs.ErrNotExist):
		err = os.Remove(r.saved()) // Somebody has written another one: it is newer.
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("putting the machine's resolvers back: %w", err)
	}
	return nil
}

// quiet is the least time between two writings, so that a program that insists
// and this one do not keep the machine busy.
const quiet = time.Second

// watch puts the file back whenever its directory changes.
func (r *resolvConf) watch() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return err
	}
	events := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(r.path), unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE|unix.IN_DELETE|unix.IN_CREATE); err != nil {
		events.Close()
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = func() { cancel(); events.Close() }
	r.done.Go(func() {
		buf := make([]byte, 4<<10)
		for {
			if _, err := events.Read(buf); err != nil {
				return // Closed.
			}
			r.mu.Lock()
			var err error
			if r.text != nil {
				err = r.put()
			}
			r.mu.Unlock()
			if err != nil {
				r.log.Warn("could not write the machine's resolvers again", "err", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(quiet):
			}
		}
	})
	return nil
}
