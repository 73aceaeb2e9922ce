// Command story lives the story of two people on a whole provider: real
// processes, real sockets, the client as a user types it, and mail programs
// that know nothing of LEAP. With --nodes 3 the database is three processes, one
// of which is killed before each step.
//
// The story itself is package play's; this builds leapd and leapc and starts
// "leapd dev". Each step prints "ok  <what>  <seconds>"; the last line is "story:
// ok in <seconds>s", or "story: FAILED at <step>: <why>" and exit status 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"leap.example/tests/play"
)

func main() {
	stay := flag.Bool("stay", false, "stay up at the end, until interrupted; bob keeps his account, and the next start finds all as it is")
	dir := flag.String("dir", "", "`directory` of the provider and the people (default: a scratch directory, removed at the end)")
	base := flag.Int("base-port", 0, "first TCP `port` of the provider (default: free ones; with --stay 20000)")
	nodes := flag.Int("nodes", 0, "`number` of database nodes (see leapd dev --help); with several, one is killed before each step")
	foreign := flag.Bool("foreign", false, "use swaks and mbsync as the mail programs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, options{stay: *stay, dir: *dir, base: *base, nodes: *nodes, foreign: *foreign})
	stop()
	if err != nil {
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	stay    bool
	dir     string
	base    int
	nodes   int
	foreign bool
}

// limit bounds the whole story, --stay excepted.
const limit = 10 * time.Minute

// run lives the story and prints its last line.
func run(ctx context.Context, out io.Writer, opt options) (err error) {
	begin := time.Now()
	if opt.stay && opt.base == 0 {
		opt.base = 20000
	}
	if opt.dir == "" {
		scratch, err := os.MkdirTemp("", "leap-story-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(scratch)
		opt.dir = scratch
	}
	dir, err := filepath.Abs(opt.dir)
	if err != nil {
		return err
	}
	story, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s := &scene{out: out, opt: opt}
	s.Story = &play.Story{Ctx: story, Dir: dir, Leapc: filepath.Join(dir, "bin", "leapc"), Foreign: opt.foreign}
	defer s.end()
	step, err := s.live()
	if err != nil {
		fmt.Fprintf(out, "story: FAILED at %s: %v\n", step, err)
		s.tails()
		return err
	}
	fmt.Fprintf(out, "story: ok in %.1fs\n", time.Since(begin).Seconds())
	if opt.stay {
		s.welcome()
		<-ctx.Done()
	}
	return nil
}

// live runs the steps in order and returns the name of the one that failed.
func (s *scene) live() (string, error) {
	for _, st := range s.steps() {
		begin := time.Now()
		if err := s.killNode(); err != nil {
			return st.What, err
		}
		if err := st.Do(); err != nil {
			return st.What, err
		}
		if err := s.Ctx.Err(); err != nil {
			return st.What, errors.Join(err, context.Cause(s.Ctx))
		}
		fmt.Fprintf(s.out, "ok  %-58s %6.2f\n", st.What, time.Since(begin).Seconds())
	}
	return "", nil
}
