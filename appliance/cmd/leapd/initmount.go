package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gokrazy/gokrazy"
	"golang.org/x/sys/unix"

	"leap.example/appliance/node"
)

const (
	safe     = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	maxFiles = 1 << 16
)

// mountKernel mounts what all that follows needs.
func mountKernel() error {
	var errs []error
	for _, m := range []struct {
		kind, at string
		flags    uintptr
	}{
		{"proc", "/proc", safe},
		{"sysfs", "/sys", safe},
		{"devtmpfs", "/dev", unix.MS_NOSUID | unix.MS_NOEXEC},
	} {
		if err := unix.Mount(m.kind, m.at, m.kind, m.flags, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, fmt.Errorf("%s: %w", m.at, err))
		}
	}
	return errors.Join(errs...)
}

// closeStdin keeps everybody from reading the console.
func closeStdin() error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	return unix.Dup3(int(null.Fd()), 0, 0)
}

// raiseFiles sets what services inherit.
func raiseFiles() error {
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: maxFiles, Max: maxFiles})
}

// inputs are devices in which gokrazy looks for a power button. It would turn
// the machine off without asking our services to end (docs/adr/0005).
const inputs = "/dev/input"

// bootGokrazy mounts /tmp, /run and others, names the host, brings loopback up
// and feeds the watchdog. perm is mounted already, which gokrazy notes and
// accepts.
func bootGokrazy() error {
	hidden := inputs + ".hidden"
	moved := os.Rename(inputs, hidden) == nil // There may be none.
	err := gokrazy.Boot(release())
	if moved {
		err = errors.Join(err, os.Rename(hidden, inputs))
	}
	return err
}

// quietly calls f and returns what is written to standard error meanwhile,
// which others use as their log.
func quietly(f func() error) (said []string, err error) {
	const stderr = 2
	console, err := unix.FcntlInt(stderr, unix.F_DUPFD_CLOEXEC, stderr+1)
	if err != nil {
		return nil, err
	}
	defer unix.Close(console)
	from, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer from.Close()
	read := make(chan []string)
	go func() {
		var all []string
		for in := bufio.NewScanner(from); in.Scan(); {
			all = append(all, in.Text())
		}
		// A line that is too long ends the scanner; who writes it must go on.
		_, _ = io.Copy(io.Discard, from)
		read <- all
	}()
	if err = unix.Dup3(int(to.Fd()), stderr, 0); err == nil {
		defer func() { // f may panic.
			err = errors.Join(err, unix.Dup3(console, stderr, 0), to.Close())
			said = <-read
		}()
		return nil, f()
	}
	to.Close()
	<-read
	return nil, err
}

// mountRest does what gokrazy would, as far as a node needs it to report.
func mountRest() error {
	var errs []error
	for _, at := range []string{"/tmp", "/run"} {
		if err := unix.Mount("tmpfs", at, "tmpfs", safe, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, fmt.Errorf("%s: %w", at, err))
		}
	}
	return errors.Join(append(errs, loopback())...)
}

// loopback brings the interface up on which a machine talks to itself; the
// kernel adds its addresses.
func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr); err != nil {
		return err
	}
	if err := ifr.SetInet4Addr([]byte{127, 0, 0, 1}); err != nil {
		return err
	}
	return unix.IoctlIfreq(s, unix.SIOCSIFADDR, ifr)
}

// runRoom bounds what services can put into memory beside their own, below
// their directories in /run: their sockets lie there, and what the agent gives
// them, which is one document's files and secrets.
const runRoom = "size=64m,nr_inodes=16k"

// remount takes from what is mounted what nobody needs: programs, devices,
// other users' processes. Only root writes to what others can see.
func remount() error {
	var errs []error
	for _, m := range []struct {
		at      string
		flags   uintptr
		data    string
		mode    fs.FileMode
		missing bool // It may be.
	}{
		{"/tmp", safe, "mode=0755", 0o755, false},
		{"/run", safe, "mode=0755," + runRoom, 0o755, false},
		{"/proc", safe, "hidepid=invisible", 0, false},
		{"/sys", safe, "", 0, false},
		{"/dev", unix.MS_NOSUID | unix.MS_NOEXEC, "", 0, false},
		{"/dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "", 0, true},
		{"/dev/shm", safe, "mode=0755", 0o755, true},
		{"/sys/fs/cgroup", safe, "", 0, true},
	} {
		err := unix.Mount("", m.at, "", unix.MS_REMOUNT|m.flags, m.data)
		if err == nil && m.mode != 0 {
			err = os.Chmod(m.at, m.mode)
		}
		if err != nil && !m.missing {
			errs = append(errs, fmt.Errorf("%s: %w", m.at, err))
		}
	}
	return errors.Join(errs...)
}

// parameters are set before anything else runs, those that cannot be taken back
// among them.
var parameters = map[string]string{
	"kernel/modules_disabled":          "1",
	"kernel/kexec_load_disabled":       "1",
	"kernel/dmesg_restrict":            "1",
	"kernel/kptr_restrict":             "2",
	"kernel/sysrq":                     "0",
	"kernel/unprivileged_bpf_disabled": "1",
	"kernel/perf_event_paranoid":       "3",
	"kernel/io_uring_disabled":         "2",
	"fs/suid_dumpable":                 "0",
	"fs/protected_symlinks":            "1",
	"fs/protected_hardlinks":           "1",
	"fs/protected_fifos":               "2",
	"fs/protected_regular":             "2",
	"net/core/bpf_jit_harden":          "2",
	// Services listen on ports below 1024 as their own users; Landlock says
	// which (appliance/launch).
	"net/ipv4/ip_unprivileged_port_start": "0",
}

// sysctls sets the parameters that this kernel has.
func sysctls() error {
	var errs []error
	for name, value := range parameters {
		err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s: %w", strings.ReplaceAll(name, "/", "."), err))
		}
	}
	return errors.Join(errs...)
}

// unmountPerm leaves perm clean. What still uses it keeps it from being
// unmounted, but not from being read-only.
func unmountPerm() error {
	var err error
	for range 10 {
		if err = unix.Unmount(node.Perm, 0); err == nil {
			return nil
		}
		<-time.After(100 * time.Millisecond)
	}
	return errors.Join(err, unix.Mount("", node.Perm, "", unix.MS_REMOUNT|unix.MS_RDONLY|safe, ""))
}
