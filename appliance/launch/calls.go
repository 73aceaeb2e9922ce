//go:build linux

package launch

import (
	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// allowed are the system calls that a Go program needs: files, memory, threads,
// signals, time, sockets. Everything else is refused, and so is all that comes
// by another calling convention than the program's.
//
// Missing on purpose: execve, fork and clone3 (the Go runtime makes threads by
// clone), ptrace and process_vm_*, pidfd_*, io_uring_*, ioctl, memfd_create,
// userfaultfd, perf_event_open, bpf, the keyrings, modules, kexec, mounts,
// namespaces, chroot, clocks, names of the host, quotas, swap, reboot.
var allowed = []string{
	// Files.
	"read", "write", "pread64", "pwrite64", "readv", "writev", "preadv", "pwritev", "preadv2", "pwritev2", "lseek",
	"open", "openat", "openat2", "close", "close_range", "stat", "fstat", "lstat", "newfstatat", "statx",
	"access", "faccessat", "faccessat2", "readlink", "readlinkat", "getdents64", "getcwd", "chdir", "fchdir",
	"mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat",
	"symlink", "symlinkat", "truncate", "ftruncate", "fallocate", "fsync", "fdatasync", "syncfs", "sync_file_range",
	"fadvise64", "readahead", "chmod", "fchmod", "fchmodat", "umask", "utimensat", "copy_file_range", "sendfile",
	"splice", "tee", "flock", "fcntl", "dup", "dup2", "dup3", "pipe", "pipe2", "statfs", "fstatfs",
	// Memory.
	"mmap", "mprotect", "munmap", "mremap", "madvise", "mincore", "msync", "brk",
	// Threads and signals. Landlock keeps signals inside.
	"clone", "prctl", "prlimit64",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sigaltstack", "tgkill", "kill",
	"gettid", "getpid", "getppid", "exit", "exit_group", "futex", "set_robust_list", "get_robust_list",
	"set_tid_address", "rseq", "arch_prctl", "membarrier", "restart_syscall", "sched_yield", "sched_getaffinity",
	"getrlimit", "getrusage", "sysinfo", "uname", "getuid", "geteuid", "getgid", "getegid", "getgroups", "capget", "times",
	// Time.
	"nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday", "time",
	"timer_create", "timer_settime", "timer_delete", "setitimer", "timerfd_create", "timerfd_settime", "getrandom",
	// Waiting.
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "poll", "ppoll", "select", "pselect6",
	// Sockets.
	"socket", "bind", "connect", "listen", "accept", "accept4", "getsockname", "getpeername", "setsockopt", "getsockopt",
	"sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "shutdown", "socketpair",
}

// families are the kinds of sockets that may be made: those of the internet, of
// this machine, and of netlink, by which Go lists interfaces.
var families = []uint64{unix.AF_INET, unix.AF_INET6, unix.AF_UNIX, unix.AF_NETLINK}

// Arguments of prctl by which the Go runtime names its memory.
const (
	prSetVMA  = 0x53564d41
	prSetName = unix.PR_SET_NAME
)

func cond(argument uint32, op seccomp.Operation, value uint64) seccomp.Condition {
	return seccomp.Condition{Argument: argument, Operation: op, Value: value}
}

// except are calls of the list that are refused for some arguments: when all
// conditions of one of the alternatives hold.
func except() map[string][]seccomp.ArgumentConditions {
	exec := []seccomp.ArgumentConditions{{cond(2, seccomp.BitsSet, unix.PROT_EXEC)}}
	var family seccomp.ArgumentConditions
	for _, f := range families {
		family = append(family, cond(0, seccomp.NotEqual, f))
	}
	return map[string][]seccomp.ArgumentConditions{
		"clone":     {{cond(0, seccomp.BitsNotSet, unix.CLONE_THREAD)}}, // That is fork.
		"mmap":      exec,
		"mprotect":  exec,
		"prctl":     {{cond(0, seccomp.NotEqual, prSetVMA), cond(0, seccomp.NotEqual, prSetName)}},
		"prlimit64": {{cond(2, seccomp.NotEqual, 0)}}, // It may read them.
		// Landlock does not restrict multipath TCP. Go does without.
		"socket": {family, {cond(2, seccomp.Equal, unix.IPPROTO_MPTCP)}},
	}
}

// policies are the filters, the list itself last, which forbids to add others.
// Every call with conditions has a filter of its own: in one filter, a call
// whose conditions do not hold is taken for whatever call has the number of the
// argument that was looked at last (go-seccomp-bpf 1.6.0).
func policies() ([]seccomp.Policy, error) {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	var all []seccomp.Policy
	for name, alternatives := range except() {
		group := seccomp.SyscallGroup{Action: seccomp.ActionErrno}
		for _, conditions := range alternatives {
			group.NamesWithCondtions = append(group.NamesWithCondtions, seccomp.NameWithConditions{Name: name, Conditions: conditions})
		}
		all = append(all, seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{group}})
	}
	list := seccomp.SyscallGroup{Action: seccomp.ActionAllow}
	for _, name := range allowed {
		if _, ok := info.SyscallNames[name]; ok { // Newer machines lack the oldest calls.
			list.Names = append(list.Names, name)
		}
	}
	return append(all, seccomp.Policy{DefaultAction: seccomp.ActionErrno, Syscalls: []seccomp.SyscallGroup{list}}), nil
}

func calls(Limits) error {
	all, err := policies()
	if err != nil {
		return err
	}
	for _, p := range all {
		if err := seccomp.LoadFilter(seccomp.Filter{Flag: seccomp.FilterFlagTSync, Policy: p}); err != nil {
			return err
		}
	}
	return nil
}
