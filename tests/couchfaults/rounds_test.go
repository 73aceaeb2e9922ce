package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
)

// short are the rounds of plain "go test"; "make couch-faults" plays more of
// them, and longer ones. Each plan has a cluster of its own.
var short = []plan{
	{nodes: 1, rounds: 5, seed: 1},
	{nodes: 3, rounds: 5, seed: 2},
	{nodes: 3, rounds: 5, seed: 3},
}

// TestRounds plays the plans at once: they mostly wait for elections.
func TestRounds(t *testing.T) {
	t.Parallel()
	path := program(t)
	var wg sync.WaitGroup
	for _, p := range short {
		p.program, p.dir, p.brief = path, t.TempDir(), true
		wg.Go(func() {
			var out bytes.Buffer
			var s summary
			err := p.run(t.Context(), &out, &s)
			t.Logf("\n%s%s", out.String(), s.text())
			if err != nil || s.rounds != p.rounds || s.acknowledged == 0 || s.spread != 3 || s.lost+s.broken+s.differing > 0 {
				t.Errorf("%d nodes, seed %d: %d of %d rounds: %+v, %v", p.nodes, p.seed, s.rounds, p.rounds, s, err)
			}
		})
	}
	wg.Wait()
}

// A plan without a number of nodes plays all its rounds, on clusters of several
// sizes.
func TestSeveral(t *testing.T) {
	for _, rounds := range []int{0, 1, 3, 15, 200} {
		sum := 0
		for _, p := range (plan{rounds: rounds}).several() {
			sum += p.rounds
			if p.nodes == 0 || p.voters%2 == 0 {
				t.Errorf("a cluster of %d nodes, %d of which vote", p.nodes, p.voters)
			}
		}
		if sum != rounds {
			t.Errorf("%d rounds are played, want %d", sum, rounds)
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, args := range [][]string{
		{"-only", "nothing", "-nodes", "1"},
		{"-nodes", "1", "-rounds", "1"},
	} {
		dir := t.TempDir()
		err := execute(t.Context(), append(args, "-leapd", "/nonexistent", "-node", "/nonexistent", "-dir", dir), io.Discard)
		if err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%v: %v, want an error that says where the files are", args, err)
		}
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("the files are gone: %v", err)
		}
	}
}
