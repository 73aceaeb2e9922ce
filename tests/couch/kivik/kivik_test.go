package kivik_test

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

	"leap.example/tests/couch/node"
)

// known are the tests that fail, and why they may. The first three fail on
// Apache CouchDB 3.4.3 too (database.md section 16); in the others we differ
// from it on purpose.
var known = map[string]string{
	"Version/Admin":    "it wants the vendor to be The Apache Software Foundation",
	"Version/NoAuth":   "the same",
	"Explain/RW/Admin": "it knows an older text of the plan",

	"Session/Post/MeaninglessJSON": "CouchDB answers an object without a name with 500, we with 400",

	"Copy/RW/Admin/foo/RevCopy":         oldRevision,
	"Copy/RW/Admin/_design/foo/RevCopy": oldRevision,
	"Copy/RW/Admin/_local/foo/RevCopy":  oldRevision,
}

const oldRevision = "it copies a revision that is none of the newest: those are compacted away at once (database.md section 5)"

// result is a line about a test that has ended, of "go test -v".
var result = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): TestSuite/(\S+) \(`)

// turn is a line that says whose lines follow.
var turn = regexp.MustCompile(`^=== (?:RUN|CONT|NAME) +TestSuite/(\S+)`)

// TestKivik runs the suite and compares what failed with what is known.
func TestKivik(t *testing.T) {
	t.Parallel()
	judge(t, node.Single)
}

func judge(t *testing.T, start node.Starter) {
	t.Helper()
	d := start(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestSuite$", "-test.v", "-test.timeout", "5m")
	cmd.Env = append(cmd.Environ(), urlVar+"="+d.URLs[0], adminURLVar+"="+d.URL())
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run() // It fails as its tests do: that is judged below.
	got := map[string]string{}
	for _, m := range result.FindAllStringSubmatch(out.String(), -1) {
		got[m[2]] = m[1]
	}
	if len(got) < 300 {
		t.Fatalf("the suite ended early, with %d results: %v\n%s", len(got), err, &out)
	}
	count := map[string]int{}
	for name, r := range got {
		count[r]++
		if r == "FAIL" && known[name] == "" && !isPending(name) && !hasChild(got, name) {
			t.Errorf("%s fails:\n%s", name, about(out.String(), name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if got[name] != "FAIL" {
			t.Errorf("%s: %q now, so it need not be known (%s)", name, got[name], known[name])
		}
	}
	t.Logf("kiviktest: %d pass, %d fail, %d skip", count["PASS"], count["FAIL"], count["SKIP"])
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
