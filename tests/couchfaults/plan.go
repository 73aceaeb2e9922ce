package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"time"

	"leap.example/tests/couchfaults/lab"
)

// A plan is a run of rounds on one cluster.
type plan struct {
	rounds, nodes int
	voters        int // Of each shard. 0: as many as package lab gives.
	parts         int // Of the rounds' databases. 0: of every second one several.
	seed          uint64
	only          string        // Name of a fault.
	program, foul string        // Paths of leapd, and of what lab.BuildFoul has built.
	dir           string        // Made if it is not there.
	brief         bool          // Short holds, for tests.
	feedPatience  time.Duration // How late a feed may be. 0: 30 s.
}

// several returns the plans that p stands for: itself, or with no number of
// nodes rounds on clusters of three nodes, of five with three voters for each
// shard, and of five that all vote.
func (p plan) several() (plans []plan) {
	if p.nodes > 0 {
		return []plan{p}
	}
	all := p.rounds
	for i, size := range []struct{ nodes, voters, rounds int }{{3, 3, all - all/2}, {5, 3, all/2 - all/4}, {5, 5, all / 4}} {
		q := p
		q.nodes, q.voters, q.rounds = size.nodes, size.voters, size.rounds
		q.seed, q.dir = p.seed+uint64(i), filepath.Join(p.dir, fmt.Sprintf("%d-of-%d", size.voters, size.nodes))
		if q.rounds > 0 {
			plans = append(plans, q)
		}
	}
	return plans
}

// run makes a cluster and plays the rounds.
func (p *plan) run(ctx context.Context, out io.Writer, s *summary) (err error) {
	deck, err := p.deck()
	if err != nil {
		return err
	}
	l, err := p.lab(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.Start(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, l.Logs(10))
	}
	for n := 1; n <= p.rounds; n++ {
		f := deck[n-1]
		r := p.round(n, l)
		began := time.Now()
		err = r.play(ctx, f)
		s.add(r)
		if err != nil {
			err = fmt.Errorf("round %d of %d nodes (%s, seed %d): %w\n%s", n, p.nodes, f.name, p.seed, err, l.Logs(20))
			for _, n := range l.Nodes {
				n.Dump()
			}
			return err
		}
		fmt.Fprintf(out, "round %d of %d nodes, %s: %s, %.1fs\n", n, p.nodes, f.name, r.text(), time.Since(began).Seconds())
	}
	return nil
}

// round returns one of the rounds. They take turns: parts or not, laws or not.
func (p *plan) round(n int, l *lab.Lab) *round {
	r := &round{
		plan: p, name: fmt.Sprintf("round-%d", n), lab: l, n: n, rng: rand.New(rand.NewPCG(p.seed, uint64(n))),
		parts: p.parts, laws: n/2%2 == 1,
	}
	if r.parts == 0 {
		r.parts = []int{1, lab.Shards}[n%2]
	}
	return r
}

func (p *plan) lab(out io.Writer) (*lab.Lab, error) {
	o := lab.Options{
		Program: p.program, Foul: p.foul, Dir: p.dir, Nodes: p.nodes, Voters: p.voters, MinFree: minFree, Small: small,
	}
	l, err := lab.New(o)
	if errors.Is(err, lab.ErrNoDisk) {
		fmt.Fprintf(out, "couch-faults: rounds with full disks do nothing: %v\n", err)
		o.Small = 0
		l, err = lab.New(o)
	}
	return l, err
}

// deck returns the faults of the rounds: each one equally often, shuffled.
func (p *plan) deck() ([]fault, error) {
	var fit []fault
	for _, f := range faults {
		if f.nodes <= p.nodes && (p.only == "" || p.only == f.name) && !(f.foul && p.foul == "") && !(f.slow && p.brief) {
			fit = append(fit, f)
		}
	}
	if len(fit) == 0 {
		return nil, fmt.Errorf("no fault %q for %d nodes", p.only, p.nodes)
	}
	rng := rand.New(rand.NewPCG(p.seed, 0))
	var deck []fault
	for len(deck) < p.rounds {
		rng.Shuffle(len(fit), func(i, j int) { fit[i], fit[j] = fit[j], fit[i] })
		deck = append(deck, fit...)
	}
	return deck, nil
}
