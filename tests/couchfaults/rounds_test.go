package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// short are the rounds of plain "go test"; "make couch-faults" plays more of
// them, and longer ones. Each plan has a cluster of its own.
var short = []plan{
	{nodes: 1, rounds: 5, seed: 1},
	{nodes: 3, rounds: 5, seed: 2},
	{nodes: 3, rounds: 5, seed: 3},
}

func TestRounds(t *testing.T) {
	path := program(t)
	for _, p := range short {
		t.Run(fmt.Sprintf("%d nodes seed %d", p.nodes, p.seed), func(t *testing.T) {
			t.Parallel()
			p.program, p.dir, p.brief = path, t.TempDir(), true
			var out bytes.Buffer
			var s summary
			err := p.run(t.Context(), &out, &s)
			t.Logf("\n%s%s", out.String(), s.text())
			if err != nil {
				t.Fatal(err)
			}
			if s.rounds != p.rounds || s.acknowledged == 0 || s.lost+s.broken+s.differing > 0 {
				t.Errorf("%d rounds, want %d: %+v", s.rounds, p.rounds, s)
			}
		})
	}
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
