package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"leap.example/tests/couchfaults/lab"
)

// A plan is a run of rounds on one cluster.
type plan struct {
	rounds, nodes int
	seed          uint64
	only          string // Name of a fault.
	program, foul string // Paths of leapd, and of what lab.BuildFoul has built.
	dir           string
	brief         bool          // Short holds, for tests.
	feedPatience  time.Duration // How late a feed may be. 0: 30 s.
}

// run makes a cluster, plays the rounds and prints the summary.
func (p *plan) run(ctx context.Context, out io.Writer) (err error) {
	o := lab.Options{Program: p.program, Foul: p.foul, Dir: p.dir, Nodes: p.nodes, MinFree: minFree, Small: small}
	l, err := lab.New(o)
	if errors.Is(err, lab.ErrNoDisk) {
		fmt.Fprintf(out, "couch-faults: rounds with full disks do nothing: %v\n", err)
		o.Small = 0
		l, err = lab.New(o)
	}
	if err != nil {
		return err
	}
	defer func() {
		if e := l.Close(); err == nil {
			err = e
		}
	}()
	if err := l.Start(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, l.Logs(10))
	}
	deck, err := p.deck()
	if err != nil {
		return err
	}
	var s summary
	for n := 1; n <= p.rounds; n++ {
		f := deck[(n-1)%len(deck)]
		r := &round{plan: p, name: fmt.Sprintf("round-%d", n), lab: l, n: n, rng: rand.New(rand.NewPCG(p.seed, uint64(n)))}
		began := time.Now()
		if err = r.play(ctx, f); err != nil {
			s.add(r)
			fmt.Fprintf(out, "round %d %s: FAILED after %.1fs: %v\n", n, f.name, time.Since(began).Seconds(), err)
			fmt.Fprintln(out, s.text())
			return fmt.Errorf("round %d (%s, seed %d): %w\n%s", n, f.name, p.seed, err, l.Logs(20))
		}
		s.add(r)
		fmt.Fprintf(out, "round %d %s: %s, %.1fs\n", n, f.name, r.text(), time.Since(began).Seconds())
	}
	fmt.Fprintln(out, s.text())
	return nil
}

// deck returns the faults in the order in which rounds take them: each one
// equally often, shuffled.
func (p *plan) deck() ([]fault, error) {
	var fit []fault
	for _, f := range faults {
		if f.nodes <= p.nodes && (p.only == "" || p.only == f.name) && !(f.foul && p.foul == "") {
			fit = append(fit, f)
		}
	}
	if len(fit) == 0 {
		return nil, errors.New("no such fault for so many nodes: " + p.only)
	}
	rng := rand.New(rand.NewPCG(p.seed, 0))
	var deck []fault
	for len(deck) < p.rounds {
		rng.Shuffle(len(fit), func(i, j int) { fit[i], fit[j] = fit[j], fit[i] })
		deck = append(deck, fit...)
	}
	return slices.Clip(deck), nil
}
