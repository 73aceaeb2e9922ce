// Package suite runs test suites that may fail in part, and compares what
// failed with what is known to. A suite is a test of the running test binary:
// it runs as a process of its own, so that its failures are not ours.
package suite

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Counted begins a line of a test's log with what it has counted, for the last
// line of "make couch-conformance".
const Counted = "counted: "

// A Suite is a test and what its process is given.
type Suite struct {
	Name  string   // Whose it is.
	Test  string   // Its name, "TestSuite".
	Env   []string // "NAME=value".
	Least int      // With fewer results it has ended early.
	// Known are the subtests that fail, and why they may. One that does not
	// fail is not to be known.
	Known map[string]string
	// Unsure are those that may fail and need not: what they find depends on
	// what is around the machine.
	Unsure map[string]string
}

var (
	// result is a line about a test that has ended, of "go test -v".
	result = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): [^/ ]+/(\S+) \(`)
	// turn is a line that says whose lines follow.
	turn = regexp.MustCompile(`^=== (?:RUN|CONT|NAME) +[^/ ]+/(\S+)`)
)

// Judge runs the suite. It logs a line with counts.
func (s Suite) Judge(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+s.Test+"$", "-test.v", "-test.timeout", "10m")
	cmd.Env = append(cmd.Environ(), s.Env...)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run() // It fails as its tests do: that is judged below.
	got := map[string]string{}
	for _, m := range result.FindAllStringSubmatch(out.String(), -1) {
		got[m[2]] = m[1]
	}
	if len(got) < s.Least {
		t.Fatalf("%s ended early, with %d results: %v\n%s", s.Test, len(got), err, &out)
	}
	count := map[string]int{}
	for name, r := range got {
		count[r]++
		if r == "FAIL" && s.Known[name] == "" && s.Unsure[name] == "" && !hasChild(got, name) {
			t.Errorf("%s fails:\n%s", name, about(out.String(), name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Known)) {
		if got[name] != "FAIL" {
			t.Errorf("%s: %q now, so it need not be known (%s)", name, got[name], s.Known[name])
		}
	}
	t.Logf(Counted+"%s: %d passed, %d known to fail, %d skipped", s.Name, count["PASS"], len(s.Known), count["SKIP"])
}

// hasChild reports whether a test failed because one of its subtests did.
func hasChild(got map[string]string, name string) bool {
	for other, r := range got {
		if r == "FAIL" && strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}

// about returns what the suite said during a test.
func about(out, name string) string {
	var said []string
	now := ""
	for line := range strings.Lines(out) {
		if m := turn.FindStringSubmatch(line); m != nil {
			now = m[1]
		} else if now == name && !result.MatchString(line) {
			said = append(said, line)
		}
	}
	return strings.Join(said[:min(len(said), 12)], "")
}
