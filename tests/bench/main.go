// Command bench measures the figures that the project promises, and records
// them in tests/bench/results/<date>-<machine>.txt: first each figure with its
// target, then what the programs said that measured it. With -couch it measures
// those of the database instead, and what comes after "--" goes to package couch;
// with -nodes those of nodes; with -vpn those of the VPN, and what comes after "--"
// goes to package vpn; with -updates those of updates.
//
// It records and never fails on a figure: a figure that is missed, or could
// not be measured, says so. Figures of different machines are compared as
// ratios of peers that ran in the same run, those of one with benchstat.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// results is where results are kept, seen from the module's root.
const results = "tests/bench/results"

func main() {
	couch := flag.Bool("couch", false, "measure the database")
	nodes := flag.Bool("nodes", false, "measure nodes, in QEMU")
	vpn := flag.Bool("vpn", false, "measure the VPN beside OpenVPN, in network namespaces: as root")
	updates := flag.Bool("updates", false, "measure updates: two releases and what is between them")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *couch, *nodes, *vpn, *updates)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// benchmarks are the arguments of "go test" for each package with a benchmark
// that a figure is taken from.
var benchmarks = [][]string{
	{"-bench", "^BenchmarkSealDoc2K$", "-cpu", "1", "-benchtime", "2s", "./services/protocol/envelope"},
	{"-bench", "^BenchmarkPut$", "-benchtime", "2s", "./services/bigcouch"},
	{"-bench", "^BenchmarkSealed(Put|Get)$", "-benchtime", "5000x", "./services/bigcouch"},
	{"-bench", "^BenchmarkTake$", "-benchtime", "2s", "./services/mx"},
	{"-bench", "^BenchmarkMail$", "-benchtime", "2000x", "./tests/bench"},
}

// run measures everything and writes the results. A part that fails does not
// keep the others from being measured.
func run(ctx context.Context, couch, nodes, vpn, updates bool) error {
	if _, err := os.Stat("go.mod"); err != nil {
		return fmt.Errorf("run from the module's root: %w", err)
	}
	scratch, err := os.MkdirTemp("", "leap-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	r := &recorder{ctx: ctx, scratch: scratch, found: measured{}, load: load()}
	r.out = io.MultiWriter(os.Stdout, &r.details)
	if couch {
		failed := r.couch(flag.Args())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return r.write("couch-"+machine(), r.found.couchFigures(), failed)
	}
	if nodes {
		failed := r.nodes()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return r.write("nodes-"+machine(), r.found.nodeFigures(), failed)
	}
	if vpn {
		failed := r.vpn(flag.Args())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return r.write("vpn-"+machine(), r.explained(r.found.vpnFigures()), failed)
	}
	if updates {
		failed := r.updates()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return r.write("updates-"+machine(), r.found.updateFigures(), failed)
	}
	if err := r.build(); err != nil {
		return err
	}
	var failed error
	for _, args := range benchmarks {
		failed = errors.Join(failed, r.benchmark(args))
	}
	failed = errors.Join(failed, r.provider(), r.story())
	if r.found.exceeds("BenchmarkMail/", "server-cpu-ms/op", mailBudget) {
		failed = errors.Join(failed, r.profile())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return r.write(machine(), r.found.figures(), failed)
}

// A recorder measures, and remembers what it found.
type recorder struct {
	ctx     context.Context
	scratch string
	out     io.Writer // Standard output and details.
	details bytes.Buffer
	found   measured
	load    string            // Of the machine, before anything was measured.
	tops    map[string]string // Of profiles of the VPN, by the name of the process.
}

// build builds the programs with the settings of "make build", and once
// everything that the story builds, so that its time is that of a warm cache.
func (r *recorder) build() error {
	for _, args := range [][]string{
		{"build", "-trimpath", "-ldflags=-s -w", "-o", r.scratch + "/", "./appliance/cmd/leapd", "./client/cmd/leapc"},
		{"build", "-o", filepath.Join(r.scratch, "warm") + "/", "./appliance/cmd/leapd", "./client/cmd/leapc", "./tests/story"},
	} {
		if _, err := r.command("go", args...); err != nil {
			return err
		}
	}
	return nil
}

// benchmark runs benchmarks of one package.
func (r *recorder) benchmark(args []string) error {
	out, err := r.command("go", append([]string{"test", "-run", "^$", "-timeout", "5m"}, args...)...)
	r.found.read(out)
	return err
}

// story measures what "make story" does after its build.
func (r *recorder) story() error {
	begun := time.Now()
	_, err := r.command("go", "run", "./tests/story")
	if err == nil {
		r.found.set("story", "s", time.Since(begun).Seconds())
	}
	return err
}

// profile records where the processor time of a mail goes.
func (r *recorder) profile() error {
	binary, profile := filepath.Join(r.scratch, "mail.test"), filepath.Join(r.scratch, "cpu")
	if _, err := r.command("go", "test", "-run", "^$", "-bench", "^BenchmarkMail$/^checked$/^8$", "-benchtime", "3000x",
		"-o", binary, "-cpuprofile", profile, "./tests/bench"); err != nil {
		return err
	}
	_, err := r.command("go", "tool", "pprof", "-top", "-nodecount=25", binary, profile)
	_, cumErr := r.command("go", "tool", "pprof", "-top", "-cum", "-nodecount=100", binary, profile)
	return errors.Join(err, cumErr)
}

// command runs a program to its end, and records and returns what it printed.
func (r *recorder) command(name string, args ...string) (string, error) {
	line := strings.Join(append([]string{name}, args...), " ")
	line = strings.ReplaceAll(line, r.scratch, "$TMP")
	fmt.Fprintf(r.out, "\n$ %s\n", line)
	var said bytes.Buffer
	cmd := exec.CommandContext(r.ctx, name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = io.MultiWriter(r.out, &said), os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(r.out, "failed:", err)
		return said.String(), fmt.Errorf("%s: %w", line, err)
	}
	return said.String(), nil
}

// write writes the results: what they depend on, the figures, the details.
func (r *recorder) write(name string, list []figure, failed error) error {
	var text bytes.Buffer
	head(r.ctx, &text)
	fmt.Fprintf(&text, "# load average at the beginning %s, at the end %s: what else ran took its share, so trust ratios\n", r.load, load())
	summary(&text, list)
	if failed != nil {
		fmt.Fprintf(&text, "\n# not everything could be measured:\n%v\n", failed)
	}
	fmt.Print("\n", text.String())
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	path := filepath.Join(results, fmt.Sprintf("%s-%s.txt", time.Now().UTC().Format(time.DateOnly), name))
	if err := os.WriteFile(path, append(text.Bytes(), r.details.Bytes()...), 0o644); err != nil {
		return err
	}
	fmt.Println("\nrecorded in", path)
	return nil
}
