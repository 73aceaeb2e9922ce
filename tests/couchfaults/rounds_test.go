package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
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
			err := p.run(t.Context(), &out)
			t.Logf("\n%s", out.String())
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("couch-faults: %d rounds, ", p.rounds); !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "lost 0") {
				t.Errorf("no summary of %d rounds", p.rounds)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	var out bytes.Buffer
	dir := t.TempDir()
	for _, args := range [][]string{
		{"-only", "nothing", "-leapd", "/nonexistent", "-dir", dir},
		{"-nodes", "1", "-rounds", "1", "-leapd", "/nonexistent", "-dir", dir},
	} {
		if err := execute(t.Context(), args, &out); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%v: %v, want an error that says where the files are", args, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); err != nil {
		t.Errorf("the files are gone: %v", err)
	}
}
