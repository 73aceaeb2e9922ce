package foreign

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is how long a program for Node may run.
const patience = 3 * time.Minute

// A Check is one line that a program has printed: "ok - name" or
// "not ok - name: why".
type Check struct {
	Name string
	OK   bool
}

// Run runs a program for Node that may require what npm has installed, and
// returns its checks. It fails the test if the program did not end well: a
// program ends with a status that says whether all of its checks were good.
func Run(t testing.TB, program string, args ...string) []Check {
	t.Helper()
	modules := Modules(t)
	path, err := filepath.Abs(program)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", append([]string{path}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(cmd.Environ(), "NODE_PATH="+modules)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second
	late := time.AfterFunc(patience, func() { _ = cmd.Cancel() }) // It may have ended.
	err = cmd.Run()
	late.Stop()
	var checks []Check
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSpace(line)
		if name, good := strings.CutPrefix(line, "ok - "); good {
			checks = append(checks, Check{name, true})
		} else if name, bad := strings.CutPrefix(line, "not ok - "); bad {
			checks = append(checks, Check{name, false})
		}
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 && errs.Len() == 0 {
		return checks // Its checks say what was bad.
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", filepath.Base(program), err, &out, &errs)
	}
	return checks
}
