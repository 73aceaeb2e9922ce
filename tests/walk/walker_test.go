package walk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"leap.example/qemu/local"
)

// nodes are those of the document.
var nodes = []string{"db1", "web1"}

// A walker goes the way, and looks around between its steps.
type walker struct {
	root        string // An empty directory but for the source, at the beginning.
	home        string
	environment []string
	shell       *shell

	out  string    // What the last block has printed.
	here string    // Where the shell is.
	lab  local.Lab // The machines, as they were started.
}

// newWalker makes the source, and a shell of somebody with a home of his own.
func newWalker(t *testing.T) *walker {
	t.Helper()
	w := &walker{root: t.TempDir(), home: t.TempDir()}
	w.here = w.root
	checkout(t, filepath.Join(w.root, "leap"))
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "XDG_") && !strings.HasPrefix(name, "GIT_") && !strings.HasPrefix(name, "MAKE") && name != "LEAP_KEYS" && name != "SOURCE_DATE_EPOCH" {
			w.environment = append(w.environment, v)
		}
	}
	w.environment = append(w.environment, "HOME="+w.home, "USER=alice", "GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"))
	t.Cleanup(func() { w.end(t) })
	w.shell = newShell(t, w.root, t.TempDir(), w.environment)
	return w
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	check(t, err)
	return strings.TrimSpace(string(out))
}

// asks is for one question to the nodes.
const asks = 2 * time.Minute

// types has somebody else type a command of leap beside the shell.
func (w *walker) types(t *testing.T, args ...string) (out []byte, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), asks)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(w.root, "leap", "bin", "leap"), args...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stderr = w.here, w.environment, &stderr
	out, err := cmd.Output()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	if status = cmd.ProcessState.ExitCode(); status != 0 && status != attention {
		t.Logf("leap %s: status %d:\n%s%s", strings.Join(args, " "), status, out, stderr.Bytes())
	}
	return out, status
}

// attention is the status of a command that has found what wants somebody to look.
const attention = 2

// reads has somebody else type a command, and reads what it tells programs.
func (w *walker) reads(t *testing.T, into any, args ...string) {
	t.Helper()
	out, status := w.types(t, append(args, "--json")...)
	if status != 0 && status != attention {
		t.FailNow()
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("leap %s: %v:\n%s", strings.Join(args, " "), err, out)
	}
}

// processes are those of the machines as they were started, and of what runs them.
func (w *walker) processes() (list []string) {
	for _, n := range w.lab.Nodes {
		list = append(list, strconv.Itoa(n.PID))
	}
	return append(list, strconv.Itoa(w.lab.PID))
}

// takes is how many bytes of the disk the way has taken so far, but for what Go keeps.
func (w *walker) takes(t *testing.T) (bytes int64) {
	t.Helper()
	for _, dir := range []string{w.root, w.home} {
		check(t, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // It was there a moment ago.
			}
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			bytes += info.Sys().(*syscall.Stat_t).Blocks * 512 // Disks have holes.
			return nil
		}))
	}
	return bytes
}

// end stops the machines, and leaves what a failed test needs.
func (w *walker) end(t *testing.T) {
	at := filepath.Join(w.root, "lab", "demo")
	if _, err := os.Stat(at); err != nil {
		return // It did not come so far.
	}
	w.here = at
	if t.Failed() {
		w.save(t)
	}
	if _, status := w.types(t, "local", "stop"); status != 0 {
		t.Error("the machines are not stopped")
	}
}

// save leaves consoles, logs, and what was typed and printed.
func (w *walker) save(t *testing.T) {
	dir := filepath.Join(*artefacts, t.Name())
	errs := []error{os.RemoveAll(dir), os.MkdirAll(dir, 0o700)}
	keep := func(name string, text []byte, err error) {
		errs = append(errs, err, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	for _, pattern := range []string{filepath.Join(w.here, ".leap", "local", "*.serial"), filepath.Join(w.here, ".leap", "local", "log"), w.shell.log} {
		list, err := filepath.Glob(pattern)
		errs = append(errs, err)
		for _, path := range list {
			text, err := os.ReadFile(path)
			keep(filepath.Base(path), text, err)
		}
	}
	status, _ := w.types(t, "status", "local", "--json")
	keep("status.json", status, nil)
	logs, _ := w.types(t, "logs", "local", "-n", "2000")
	keep("nodes.log", logs, nil)
	t.Logf("consoles and logs are in %s: %v", dir, errors.Join(errs...))
}
