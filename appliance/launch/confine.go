//go:build linux

package launch

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// Limits of the kernel. Threads are counted for the whole user.
const (
	maxFiles   = 1 << 16
	maxThreads = 1 << 10
	extraData  = 512 << 20 // Bytes beside twice the heap: stacks, maps of files, what the collector has not come to yet.
)

// Confine takes from this process, for ever, all that l does not give. After an
// error the process is in no defined state and must end.
func Confine(l Limits) error {
	for _, step := range []struct {
		name string
		do   func(Limits) error
	}{
		{"resource limits", resources},
		{"core dumps and tracing", undumpable},
		{"capabilities", capabilities},
		{"no new privileges", noNewPrivileges},
		{"landlock", files},
		{"seccomp", calls},
	} {
		if err := step.do(l); err != nil {
			return fmt.Errorf("confining the process: %s: %w", step.name, err)
		}
	}
	return nil
}

func resources(l Limits) error {
	memory := l.Memory
	if memory == 0 {
		var info unix.Sysinfo_t
		if err := unix.Sysinfo(&info); err != nil {
			return err
		}
		memory = int64(uint64(info.Totalram)*uint64(info.Unit)) / 4
	}
	debug.SetMemoryLimit(memory)
	for _, r := range []struct {
		what int
		most uint64
	}{
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_NOFILE, maxFiles},
		{unix.RLIMIT_NPROC, maxThreads},
		{unix.RLIMIT_MEMLOCK, 0},
		{unix.RLIMIT_MSGQUEUE, 0},
		{unix.RLIMIT_DATA, 2*uint64(memory) + extraData},
	} {
		var now unix.Rlimit
		if err := unix.Getrlimit(r.what, &now); err != nil {
			return err
		}
		most := min(r.most, now.Max)
		if err := unix.Setrlimit(r.what, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return err
		}
	}
	return nil
}

func undumpable(Limits) error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// capabilities keeps CAP_NET_ADMIN if it shall and can, and drops all others.
func capabilities(l Limits) error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have, keep [2]unix.CapUserData
	if err := unix.Capget(&head, &have[0]); err != nil {
		return err
	}
	if l.Net {
		keep[0].Permitted = have[0].Permitted & (1 << unix.CAP_NET_ADMIN)
		keep[0].Effective = keep[0].Permitted
	}
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	_, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&keep[0])), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func noNewPrivileges(Limits) error {
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// there are those paths that exist.
func there(paths []string) (found []string, err error) {
	for _, p := range paths {
		if _, err := os.Stat(p); err == nil {
			found = append(found, p)
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return found, nil
}
