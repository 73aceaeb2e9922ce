package walk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A shell is the one in which somebody types all commands: what one block sets, and
// where it goes, the next one finds. It ends with the first command that fails.
type shell struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	told *os.File // From which directory a block has ended in.
	ends *bufio.Reader

	scripts string // Directory of the blocks as files.
	log     string // File of all that was printed.
	blocks  int
}

// newShell starts one in a directory. Its files are in another.
func newShell(t *testing.T, dir, own string, environment []string) *shell {
	t.Helper()
	s := &shell{scripts: own, log: filepath.Join(own, "shell.log")}
	log, err := os.Create(s.log)
	check(t, err)
	defer func() { check(t, log.Close()) }() // The shell has its own.
	told, tell, err := os.Pipe()
	check(t, err)
	defer func() { check(t, tell.Close()) }()
	s.told, s.ends = told, bufio.NewReader(told)
	s.cmd = exec.Command("bash", "--noprofile", "--norc", "-e")
	s.cmd.Dir, s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr, s.cmd.ExtraFiles = dir, environment, log, log, []*os.File{tell}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.in, err = s.cmd.StdinPipe()
	check(t, err)
	check(t, s.cmd.Start())
	t.Cleanup(func() { s.end(t) })
	return s
}

// run has the shell run a block, and returns what that printed and where the shell is
// then. It is an error if a command fails, or the block does not end.
func (s *shell) run(text string) (out, dir string, err error) {
	before, err := os.Stat(s.log)
	if err != nil {
		return "", "", err
	}
	s.blocks++
	script := filepath.Join(s.scripts, fmt.Sprintf("%02d.sh", s.blocks))
	err = errors.Join(os.WriteFile(script, []byte(text), 0o600), s.told.SetReadDeadline(time.Now().Add(patience)))
	if err != nil {
		return "", "", err
	}
	// What a block starts, and what runs on, neither reads the next one nor holds on to
	// the pipe whose end says that the shell has ended.
	_, err = fmt.Fprintf(s.in, ". '%s' </dev/null 3>&-\nprintf '%%s\\n' \"$PWD\" >&3\n", script)
	if err == nil {
		dir, err = s.ends.ReadString('\n')
	}
	all, wrong := os.ReadFile(s.log)
	if wrong != nil {
		return "", "", wrong
	}
	out = string(all[before.Size():])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return out, "", fmt.Errorf("it does not end in %v", patience)
	case err != nil:
		return out, "", fmt.Errorf("a command failed: %w", err) // The end of the pipe, or nobody who reads.
	}
	return out, strings.TrimSuffix(dir, "\n"), nil
}

// end ends it, with whatever it waits for.
func (s *shell) end(t *testing.T) {
	if err := errors.Join(s.in.Close(), s.told.Close()); err != nil {
		t.Error(err)
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // It may have ended,
	_ = s.cmd.Wait()                                      // and how was told by run.
}

// TestShell: what a block sets stays, and what fails ends all.
func TestShell(t *testing.T) {
	s := newShell(t, t.TempDir(), t.TempDir(), os.Environ())
	if _, _, err := s.run("mkdir a && cd a\nWHO=$(echo alice)\nsleep 60 &\n"); err != nil {
		t.Fatal(err)
	}
	out, dir, err := s.run("cat; read x || echo \"$WHO reads nothing\"\n")
	if err != nil || out != "alice reads nothing\n" || filepath.Base(dir) != "a" {
		t.Errorf("%q, in %s: %v", out, dir, err)
	}
	for _, text := range []string{"echo one\nX=$(false)\necho two\n", "echo three\n"} {
		if out, _, err = s.run(text); err == nil || strings.Contains(out, "t") {
			t.Errorf("%q: %v", out, err)
		}
	}
}
