package supervise_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/appliance/node"
	"leap.example/appliance/supervise"
)

// A lab is a supervisor in this process and a client of it.
type lab struct {
	*supervise.Client
	s        *supervise.Supervisor
	logs     *supervise.Logs
	rebooted chan struct{}
	end      func() // Ends the supervisor and returns when it has ended.
}

func command(service string) (supervise.Command, error) {
	if service == "nothing" {
		return supervise.Command{}, errors.New("there is no such program")
	}
	if service == "missing" {
		return supervise.Command{Path: "/nonexistent/program", Args: []string{"program"}}, nil
	}
	does, how, _ := strings.Cut(service, "-")
	return supervise.Command{Path: os.Args[0], Args: []string{os.Args[0], "service", does}, Dir: "/", Always: how == "always"}, nil
}

func newLab(t *testing.T, cfg supervise.Config) *lab {
	t.Helper()
	dir := t.TempDir()
	logs, err := supervise.NewLogs(filepath.Join(dir, "log"), 8<<10)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{logs: logs, rebooted: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	served, ran, gone := make(chan error, 1), make(chan struct{}), make(chan struct{})
	cfg.Command, cfg.Logs, cfg.Reboot = command, logs, func() { // As init: it ends everything.
		cancel()
		<-gone
		l.rebooted <- struct{}{}
	}
	l.s = supervise.New(cfg)
	socket := filepath.Join(dir, "control")
	ln, err := supervise.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	l.Client = supervise.NewClient(socket)
	go func() {
		err := l.s.Serve(ctx, ln)
		close(gone)
		served <- err
	}()
	go func() { l.s.Run(ctx); close(ran) }()
	l.end = func() {
		cancel()
		<-ran
	}
	t.Cleanup(func() {
		l.end()
		if err := <-served; err != nil {
			t.Error("serving:", err)
		}
		if err := logs.Close(); err != nil {
			t.Error(err)
		}
		if kids := children(t); len(kids) > 0 {
			t.Errorf("processes are left: %v", kids)
		}
	})
	return l
}

// children are the children of this process, zombies too.
func children(t *testing.T) (pids []string) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("this kernel does not list children")
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err == nil { // A thread may be gone.
			pids = append(pids, strings.Fields(string(text))...)
		}
	}
	return pids
}

// until polls until ok holds for the status of a service.
func (l *lab) until(t *testing.T, name, what string, ok func(node.ServiceStatus) bool) node.ServiceStatus {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		all, err := l.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s, there := all[name]; there && ok(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: never %s; now %+v", name, what, all[name])
		}
	}
}

// says waits until a service has written a text.
func (l *lab) says(t *testing.T, name, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := l.Logs(ctx, name, 1000, true, func(line node.LogLine) error {
		if strings.Contains(line.Text, text) {
			return errFound
		}
		return nil
	})
	if !errors.Is(err, errFound) {
		t.Fatalf("%s never says %q: %v", name, text, err)
	}
}

var errFound = errors.New("found")

func (l *lab) start(t *testing.T, name string) {
	t.Helper()
	if err := l.Start(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

func running(s node.ServiceStatus) bool { return s.Running }

// TestKilled kills a service: it is back within 2 s, and so is said.
func TestKilled(t *testing.T) {
	l := newLab(t, supervise.Config{})
	l.start(t, "web")
	l.says(t, "web", "ready")
	first := l.until(t, "web", "running", running)
	begin := time.Now()
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := l.until(t, "web", "back", func(s node.ServiceStatus) bool { return s.Running && s.PID != first.PID })
	if took := second.Since.Sub(begin); took > 2*time.Second {
		t.Errorf("back after %v", took)
	}
	if second.Restarts != 1 || !strings.Contains(second.Error, "signal 9") {
		t.Errorf("its status is %+v", second)
	}
}

// TestStarted orders what is so already, and otherwise.
func TestStarted(t *testing.T) {
	l := newLab(t, supervise.Config{})
	l.start(t, "web")
	first := l.until(t, "web", "running", running)
	l.start(t, "web")
	if now := l.until(t, "web", "running", running); now != first {
		t.Errorf("an order that changes nothing made %+v of %+v", now, first)
	}
	if err := l.Restart(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	third := l.until(t, "web", "running", running)
	l.says(t, "web", fmt.Sprint("ready ", third.PID))
	if third.PID == first.PID || third.Restarts != 0 || third.Error != "" {
		t.Errorf("after a restart that was ordered: %+v", third)
	}
	if err := l.Stop(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	if all, err := l.List(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("stopped, the list is %v, %v", all, err)
	}
	l.says(t, "web", "asked to stop")
	if kids := children(t); len(kids) > 0 {
		t.Errorf("stopped, there is %v", kids)
	}
}

// TestEnds lets services end by themselves.
func TestEnds(t *testing.T) {
	l := newLab(t, supervise.Config{})
	for _, name := range []string{"exit125", "exit0", "exit1", "missing"} {
		l.start(t, name)
	}
	if err := l.Start(t.Context(), "exit125-always"); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{"exit0": "status 0", "exit1": "status 1", "missing": "no such file", "exit125-always": "status 125"} {
		s := l.until(t, name, "ended three times", func(s node.ServiceStatus) bool { return s.Restarts >= 3 })
		if !strings.Contains(s.Error, says) || !strings.Contains(s.Error, "times in a row") {
			t.Errorf("%s: %+v", name, s)
		}
	}
	s := l.until(t, "exit125", "down", func(s node.ServiceStatus) bool { return s.Error != "" })
	if s.Running || s.Restarts != 0 || !strings.Contains(s.Error, "125") {
		t.Errorf("after status 125: %+v", s)
	}
	l.start(t, "exit125") // Another order tries again.
	l.until(t, "exit125", "down", func(s node.ServiceStatus) bool { return s.Error != "" && s.Restarts == 0 })
}

// TestOrphan has a service leave a process behind, which becomes ours.
func TestOrphan(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Skip("cannot inherit processes here:", err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	l := newLab(t, supervise.Config{})
	l.start(t, "orphan")
	l.says(t, "orphan", "hello from brief")
	if err := l.Stop(t.Context(), "orphan"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); len(children(t)) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("zombies: %v", children(t))
		}
	}
}

// TestShutdown ends the supervisor while services run, one of them deaf.
func TestShutdown(t *testing.T) {
	l := newLab(t, supervise.Config{Grace: 100 * time.Millisecond})
	for _, name := range []string{"web-1", "deaf", "web-2"} {
		l.start(t, name)
		l.says(t, name, "ready")
	}
	l.says(t, "deaf", "deaf now")
	l.end()
	lines, err := l.logs.Lines("", 1000)
	if err != nil {
		t.Fatal(err)
	}
	var stopped []string
	for _, line := range lines {
		if line.Text == "asked to stop" {
			stopped = append(stopped, line.Service)
		}
	}
	if want := []string{"web-2", "web-1"}; !slices.Equal(stopped, want) {
		t.Errorf("stopped in the order %v, want %v", stopped, want)
	}
	if err := l.s.Start(t.Context(), "web-3"); !errors.Is(err, supervise.ErrClosed) {
		t.Errorf("starting afterwards: %v", err)
	}
}

func TestMistakes(t *testing.T) {
	l := newLab(t, supervise.Config{})
	for what, err := range map[string]error{
		"there is no such program":       l.Start(t.Context(), "nothing"),
		`"../x" is no name of a service`: l.Logs(t.Context(), "../x", 1, false, nil),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want %q", err, what)
		}
	}
	if err := l.Stop(t.Context(), "web"); err != nil {
		t.Error("stopping what does not run:", err)
	}
	if all, err := l.List(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("the list is %v, %v", all, err)
	}
	if err := l.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-l.rebooted
}

// TestStranger connects as another user, through a socket that lets anyone in.
func TestStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("becoming another user needs root")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	dir := t.TempDir()
	for p := dir; p != "/tmp" && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(dir, "s")
	ln, err := supervise.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			c.Close()
		}
		accepted <- err
	}()
	cmd := exec.Command(python, "-c", `
import os, socket, sys
os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.send(b"x")
print(repr(s.recv(1)))`, socket)
	out, err := cmd.CombinedOutput()
	if !strings.Contains(string(out), "b''") && !strings.Contains(string(out), "reset") && !strings.Contains(string(out), "Broken pipe") {
		t.Errorf("a stranger gets %s, %v", out, err)
	}
	ln.Close()
	if err := <-accepted; err == nil {
		t.Error("a stranger was let in")
	}
}
