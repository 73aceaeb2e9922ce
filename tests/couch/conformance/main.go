// Command conformance lets the judges of the database take their time: kivik's
// suite, npm's pouchdb as a client, random histories compared with
// pouchdb-server, and the provider's stores on pouchdb-server. It prints one
// line with what they counted, and before it what failed.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"leap.example/tests/couch/suite"
)

// packages are those with judges.
const packages = "./tests/couch/..."

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	line, err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Printf("couch-conformance: FAILED: %v; %s\n", err, line)
		os.Exit(1)
	}
	fmt.Printf("couch-conformance: ok: %s\n", line)
}

// run runs the judges. It writes what failed to out, and returns their counts.
func run(ctx context.Context, out io.Writer) (line string, err error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count", "1", "-timeout", "40m", packages)
	cmd.Env = append(os.Environ(), "LEAP_COUCH_LONG=1")
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	r := report{said: map[string][]string{}, out: out}
	read := r.read(pipe)
	err = errors.Join(read, cmd.Wait())
	if len(r.failed) > 0 {
		slices.Sort(r.failed)
		err = fmt.Errorf("%d tests (%s)", len(r.failed), strings.Join(r.failed, ", "))
	}
	slices.Sort(r.counts)
	return fmt.Sprintf("%d tests passed; %s", r.passed, strings.Join(r.counts, "; ")), err
}

// A report is what the events of "go test -json" add up to.
type report struct {
	out    io.Writer
	said   map[string][]string // By package and test: its output.
	passed int
	failed []string // Tests, and packages that failed without one.
	counts []string
}

// An event is one line of "go test -json".
type event struct{ Action, Package, Test, Output string }

func (r *report) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("%s: %w", lines.Bytes(), err)
		}
		r.add(e)
	}
	return lines.Err()
}

func (r *report) add(e event) {
	name := strings.TrimPrefix(e.Package, "leap.example/tests/") + " " + e.Test
	switch e.Action {
	case "output":
		r.said[name] = append(r.said[name], e.Output)
		if _, counted, ok := strings.Cut(e.Output, suite.Counted); ok {
			r.counts = append(r.counts, strings.TrimSpace(counted))
		}
	case "pass", "skip":
		if e.Test != "" && e.Action == "pass" {
			r.passed++
		}
		delete(r.said, name)
	case "fail":
		fmt.Fprintf(r.out, "FAILED: %s\n%s", name, strings.Join(r.said[name], ""))
		r.failed = append(r.failed, strings.TrimSpace(name))
	}
}
