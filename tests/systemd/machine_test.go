package systemd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"leap.example/appliance/netcfg/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A machine is one on which systemd runs. Its network is the test's.
type machine struct {
	t    *testing.T
	init int // Process 1, as it is called here.
}

// boot starts one, to which a directory of programs is /programs, with one more layer of
// /usr if there is any.
func boot(t *testing.T, programs, layer string) *machine {
	t.Helper()
	nettest.Need(t)
	if _, err := os.Stat("/lib/systemd/systemd"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("LOUD: systemd (Debian: systemd) is not there: whether it runs the client's units was not tried")
	}
	var top syscall.Stat_t
	must(t, syscall.Stat("/", &top))
	if top.Uid != 0 {
		t.Skip("LOUD: systemd needs root, and nobody is root here: whether it runs the client's units was not tried")
	}
	leave := ownGroup(t)
	var said bytes.Buffer
	cmd := exec.Command("/bin/sh", "testdata/boot.sh", t.TempDir(), programs, layer)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP,
		Pdeathsig:  syscall.SIGKILL, Setsid: true,
	}
	must(t, cmd.Start())
	leave()
	m := &machine{t: t, init: cmd.Process.Pid}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(m.journal())
		}
		must(t, cmd.Process.Kill()) // And with process 1 all others.
		_ = cmd.Wait()
		if said.Len() > 0 {
			t.Logf("systemd said: %s", &said)
		}
	})
	nettest.Until(t, "systemd has started", func() bool {
		out, _ := m.command("systemctl", "is-active", "lab.target").Output()
		return string(out) == "active\n"
	})
	return m
}

// ownGroup puts this process into a control group of its own, below which systemd makes
// those of its units, until leave; the group is removed with the test.
func ownGroup(t *testing.T) (leave func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "cgroup")
	must(t, err)
	must(t, unix.Mount("cgroup2", dir, "cgroup2", 0, ""))
	own := filepath.Join(dir, fmt.Sprintf("leap-test-%d", os.Getpid()))
	must(t, os.Mkdir(own, 0o755))
	enter := func(group string) {
		must(t, os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0))
	}
	at := "/"
	text, err := os.ReadFile("/proc/self/cgroup")
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			at = strings.TrimSpace(path)
		}
	}
	enter(own)
	t.Cleanup(func() {
		var groups []string
		must(t, filepath.WalkDir(own, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				groups = append(groups, path)
			}
			return err
		}))
		for i := range groups {
			group := groups[len(groups)-1-i]
			nettest.Until(t, group+" is left", func() bool { return os.Remove(group) == nil })
		}
		must(t, unix.Unmount(dir, 0))
		must(t, os.Remove(dir))
	})
	return func() { enter(filepath.Join(dir, at)) }
}

// command is one of root's on the machine.
func (m *machine) command(words ...string) *exec.Cmd {
	return m.enter([]string{"HOME=/root", "PATH=/usr/bin:/usr/sbin:/bin"}, nil, words)
}

// alices is one of a user's who has logged in.
func (m *machine) alices(words ...string) *exec.Cmd {
	return m.enter([]string{"HOME=/home/alice", "XDG_RUNTIME_DIR=/run/alice", "PATH=/usr/bin:/bin"}, []string{"--setuid", "4242", "--setgid", "4242"}, words)
}

func (m *machine) enter(env, as, words []string) *exec.Cmd {
	args := append([]string{"--target", strconv.Itoa(m.init), "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--wdns=/"}, as...)
	cmd := exec.CommandContext(m.t.Context(), "nsenter", append(append(args, "--"), words...)...)
	cmd.Env = env
	return cmd
}

// does runs a command, which has to do well, and returns what it prints.
func (m *machine) does(cmd *exec.Cmd) string {
	m.t.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("%v: %v: %s%s", cmd.Args[1:], err, out, &errs)
	}
	return string(out)
}

// is fails unless a unit is in a state.
func (m *machine) is(unit, state string) {
	m.t.Helper()
	if out, _ := m.command("systemctl", "is-active", unit).Output(); strings.TrimSpace(string(out)) != state {
		m.t.Errorf("%s is %s, not %s", unit, strings.TrimSpace(string(out)), state)
	}
}

// journal is what units said.
func (m *machine) journal() string {
	cmd := m.command("journalctl", "--no-pager", "--output=short-monotonic", "--priority=info")
	out, err := exec.Command(cmd.Path, cmd.Args[1:]...).CombinedOutput() // The test's context has ended.
	return fmt.Sprintf("%s%v", out, err)
}
