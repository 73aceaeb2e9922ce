package main

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"leap.example/client/control"
	"leap.example/client/update"
	"leap.example/services/protocol/problem"
)

// another is a user who is not root.
const another = 4242

// listenAs listens on a socket as another user, whom the kernel then names to who
// connects. Only root can.
func listenAs(t *testing.T, uid int, path string) net.Listener {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("LOUD: only root can be another user: whether root believes a user's daemon was not tried")
	}
	type result struct {
		ln  net.Listener
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // And never unlocked: the thread ends with this.
		const same = ^uintptr(0)
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, same, uintptr(uid), same); errno != 0 {
			done <- result{nil, errno}
			return
		}
		ln, err := net.Listen("unix", path)
		done <- result{ln, err}
	}()
	r := <-done
	if errors.Is(r.err, syscall.EPERM) || errors.Is(r.err, syscall.EINVAL) {
		t.Skip("LOUD: root cannot be another user here: whether it believes a user's daemon was not tried")
	}
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.ln
}

// TestForeignDaemon: whoever listens in the home of another user is asked nothing,
// and what he would say of programs and flags is not heard.
func TestForeignDaemon(t *testing.T) {
	home, err := os.MkdirTemp("/tmp", "leapc-foreign-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	if err := errors.Join(os.Chmod(home, 0o755), os.Chown(home, another, another)); err != nil && os.Geteuid() == 0 {
		t.Skip("LOUD: nothing can be given to others here:", err)
	}
	p := update.Prefix(filepath.Join(t.TempDir(), "leap"))
	ln := listenAs(t, another, filepath.Join(home, "leapc.sock"))
	var asked atomic.Int64
	hs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_ = json.NewEncoder(w).Encode(control.UpdateStatus{
			Schema: 1, Version: "1.0.0", Program: p.Program("1.0.0"), PID: os.Getpid(), Arguments: []string{"--evil"},
		})
	})}
	ended := make(chan error, 1)
	go func() { ended <- hs.Serve(ln) }()
	defer func() { _ = hs.Close(); <-ended }()

	d := &daemonPart{socket: filepath.Join(home, "leapc.sock"), home: home, prefix: p, say: func(string) {}}
	if _, err := d.Version(t.Context()); !errors.Is(err, update.ErrStopped) || !errors.Is(err, control.ErrForeign) {
		t.Errorf("the daemon of another user: %v", err)
	}
	if n := asked.Load(); n != 0 || d.seen.PID != 0 || d.seen.Arguments != nil {
		t.Errorf("it was asked %d times, and says %+v", n, d.seen)
	}
	if f, err := openLog(home); problem.KindOf(err) != problem.Permission {
		t.Errorf("a log in the home of another user: %v, %v", f, err)
	}
	if _, err := os.Lstat(filepath.Join(home, daemonLog)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was written there: %v", err)
	}
}

// TestAfterwards: who is told that the daemon does not work with what is installed is
// told how to go back: in root's prefix, that root does it. The exit status says that
// something is wrong, whatever it is that the daemon does.
func TestAfterwards(t *testing.T) {
	mine := update.Prefix(t.TempDir())
	for _, test := range []struct {
		p    update.Prefix
		want string
	}{
		{mine, ": " + mine.Start() + " update back"},
		{"/nobody's", ": sudo /nobody's/current/leapc update back"},
	} {
		for _, why := range []error{errors.New("it hangs"), control.ErrNotRunning, problem.Unavailable} {
			if err := afterwards(test.p, "1.1.0", why); !errors.Is(err, why) || statusOf(err) != exitFailed || !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("status %d: %v", statusOf(err), err)
			}
		}
	}
}

// TestApplied: a daemon that does not answer is no daemon that does not run.
func TestApplied(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // Whatever the umask is.
		t.Fatal(err)
	}
	p := update.Prefix(filepath.Join(dir, "leap"))
	if err := update.Install(t.Context(), p, program, "1.1.0", nil); err != nil {
		t.Fatal(err)
	}
	a := &app{home: t.TempDir(), out: io.Discard, errs: io.Discard}
	if err := a.applied(t.Context(), p, "1.1.0", nil); err != nil {
		t.Errorf("without a daemon: %v", err)
	}
	ln, err := net.Listen("unix", a.socket())
	if err != nil {
		t.Fatal(err)
	}
	hs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })}
	ended := make(chan error, 1)
	go func() { ended <- hs.Serve(ln) }()
	defer func() { _ = hs.Close(); <-ended }()
	if err := a.applied(t.Context(), p, "1.1.0", nil); err == nil || statusOf(err) != exitFailed || !strings.Contains(err.Error(), "update back") {
		t.Errorf("with one that is broken: status %d, %v", statusOf(err), err)
	}
}

// TestOpenLog follows no link.
func TestOpenLog(t *testing.T) {
	home, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "precious")
	f, err := openLog(home)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("well\n"); err != nil {
		t.Error(err)
	}
	f.Close()
	path := filepath.Join(home, daemonLog)
	if text, err := os.ReadFile(path); err != nil || string(text) != "well\n" {
		t.Errorf("%q, %v", text, err)
	}
	if err := errors.Join(os.Remove(path), os.Symlink(elsewhere, path)); err != nil {
		t.Fatal(err)
	}
	if f, err := openLog(home); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("through a link: %v, %v", f, err)
	}
	if _, err := os.Lstat(elsewhere); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was made: %v", err)
	}
}

// TestHelperGone: no trial waits for a helper that is not to run.
func TestHelperGone(t *testing.T) {
	if _, err := (helperPart{update.Prefix(t.TempDir()), false}).Version(t.Context()); !errors.Is(err, update.ErrGone) || !errors.Is(err, update.ErrStopped) {
		t.Errorf("%v", err)
	}
}

// TestNextOnTrial: what is said to be next decides the trial, whoever owns the prefix.
func TestNextOnTrial(t *testing.T) {
	for _, test := range []struct {
		mine  bool
		parts []string
		want  string
	}{
		{true, []string{"daemon"}, "leapc daemon,"},
		{true, []string{"daemon", "VPN helper"}, "leapc daemon,"},
		{true, []string{"VPN helper"}, "leapc update apply,"},
		{true, nil, "leapc update apply,"},
		{false, []string{"VPN helper"}, "leapc update apply, which has root's unit"},
	} {
		s := updateAnswer{
			Mine: test.mine, Prefix: "/opt/leap", Sources: []string{"https://vendor.example/"},
			Looked: update.Looked{At: time.Now()}, Trial: &update.Trial{Parts: test.parts},
		}
		if got := s.next(); !strings.HasPrefix(got, test.want) {
			t.Errorf("mine %v, %v: %s", test.mine, test.parts, got)
		}
	}
}
