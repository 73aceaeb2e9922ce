// Command couchfaults keeps a cluster of database nodes busy while it kills
// them, freezes them, cuts them off from each other, damages their disks, and
// then asks whether all that was acknowledged is there, whether every answer
// can be explained, and whether all replicas are the same. Every second database
// is in several parts, and in half of the rounds design documents decide about
// writes.
//
// Usage: go run ./tests/couchfaults [flags]; "make couch-faults ROUNDS=200".
// Each round prints one line, the end one summary line. When anything is wrong
// the status is 1 and the directory with the nodes' files and logs is kept.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"leap.example/tests/couchfaults/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := execute(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "couch-faults:", err)
		os.Exit(1)
	}
}

func execute(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("couchfaults", flag.ContinueOnError)
	var p plan
	flags.IntVar(&p.rounds, "rounds", 200, "`number` of rounds")
	flags.IntVar(&p.nodes, "nodes", 0, "`number` of nodes; 1 is a node by itself; 0: clusters of 3 and of 5")
	flags.IntVar(&p.parts, "parts", 0, fmt.Sprintf("`number` of parts of the databases, at most %d; 0: of every second one several", lab.Shards))
	flags.Uint64Var(&p.seed, "seed", 1, "`number` that decides what happens")
	flags.StringVar(&p.only, "only", "", "`name` of the one fault to try")
	flags.StringVar(&p.program, "leapd", "", "`path` of leapd; empty: build it")
	flags.StringVar(&p.foul, "node", "", "`path` of tests/couchfaults/node as package lab builds it; empty: build it, which takes minutes the first time")
	flags.StringVar(&p.dir, "dir", "", "`directory` for all files; empty: a scratch directory")
	if err := flags.Parse(args); err != nil {
		return err
	}
	scratch := p.dir == ""
	if scratch {
		if p.dir, err = os.MkdirTemp("", "couch-faults-"); err != nil {
			return err
		}
	}
	if err := p.playAll(ctx, out); err != nil {
		return fmt.Errorf("%w\nfiles and logs: %s", err, p.dir)
	}
	if scratch {
		return os.RemoveAll(p.dir)
	}
	return nil
}

// playAll builds what is missing, plays all plans and prints the summary.
func (p *plan) playAll(ctx context.Context, out io.Writer) (err error) {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	if p.program == "" {
		if p.program, err = lab.Build(ctx, p.dir); err != nil {
			return err
		}
	}
	if p.foul == "" {
		if p.foul, err = lab.BuildFoul(ctx, p.dir, true); err != nil {
			return err
		}
	}
	var s summary
	for _, q := range p.several() {
		if err = q.run(ctx, out, &s); err != nil {
			break
		}
	}
	fmt.Fprintln(out, s.text())
	return err
}
