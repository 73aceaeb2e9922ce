package history_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"leap.example/tests/couchfaults/history"
)

const ms = time.Millisecond

// write and read make operations of one document.
func write(from, value string, outcome history.Outcome, call, end time.Duration) history.Op {
	return history.Op{Doc: "d", Kind: history.Write, From: from, Value: value, Outcome: outcome, Rev: "rev-" + value, Call: call, Return: end}
}

func read(kind history.Kind, value string, call, end time.Duration) history.Op {
	return history.Op{Doc: "d", Kind: kind, Value: value, Outcome: history.OK, Call: call, Return: end}
}

func TestLinearizable(t *testing.T) {
	w1 := write("", "1", history.OK, 0, 10*ms)
	w2 := write("1", "2", history.OK, 20*ms, 30*ms)
	for _, tt := range []struct {
		name string
		ok   bool
		ops  []history.Op
	}{
		{"writes and reads", true, []history.Op{w1, w2, read(history.Fresh, "1", 12*ms, 15*ms), read(history.Fresh, "2", 31*ms, 32*ms)}},
		{"a read beside a write sees either", true, []history.Op{w1, w2, read(history.Fresh, "1", 22*ms, 29*ms)}},
		{"a stale fresh read", false, []history.Op{w1, w2, read(history.Fresh, "1", 31*ms, 32*ms)}},
		{"a fresh read of nothing after a write", false, []history.Op{w1, read(history.Fresh, "", 11*ms, 12*ms)}},
		{"a stale read may be stale", true, []history.Op{w1, w2, read(history.Stale, "1", 31*ms, 32*ms)}},
		{"a lost write", false, []history.Op{w1, write("", "2", history.OK, 11*ms, 12*ms)}},
		{"two winners", false, []history.Op{w1, w2, write("1", "3", history.OK, 20*ms, 30*ms)}},
		{"a false conflict", false, []history.Op{w1, write("1", "2", history.Refused, 20*ms, 30*ms)}},
		{"a conflict that was none: it is seen later", false, []history.Op{w1, w2, write("2", "3", history.Refused, 40*ms, 50*ms), read(history.Fresh, "3", 60*ms, 61*ms)}},
		{"against a law", true, []history.Op{w1, write("1", "3", history.Illegal, 20*ms, 30*ms), read(history.Fresh, "1", 31*ms, 32*ms)}},
		{"against a law, and yet done", false, []history.Op{w1, write("1", "3", history.Illegal, 20*ms, 30*ms), read(history.Fresh, "3", 31*ms, 32*ms)}},
		{"a conflict", true, []history.Op{w1, w2, write("1", "3", history.Refused, 40*ms, 50*ms)}},
		{"unknown, and done much later", true, []history.Op{
			w1, write("1", "2", history.Unknown, 20*ms, 0), read(history.Fresh, "1", 30*ms, 31*ms), read(history.Fresh, "2", 90*ms, 91*ms),
		}},
		{"unknown, seen, and undone", false, []history.Op{
			w1, write("1", "2", history.Unknown, 20*ms, 0), read(history.Fresh, "2", 30*ms, 31*ms), read(history.Fresh, "1", 90*ms, 91*ms),
		}},
		{"unknown, never done", true, []history.Op{w1, write("1", "2", history.Unknown, 20*ms, 0), write("1", "3", history.OK, 30*ms, 31*ms)}},
		{"unknown, and seen by a refusal alone", true, []history.Op{
			w1, write("1", "2", history.Unknown, 20*ms, 0), read(history.Fresh, "1", 30*ms, 31*ms), write("1", "3", history.Refused, 40*ms, 50*ms),
		}},
		{"refused before the unknown write began", false, []history.Op{
			w1, write("1", "3", history.Refused, 20*ms, 30*ms), write("1", "2", history.Unknown, 40*ms, 0),
		}},
		{"deleted and made again", true, []history.Op{
			w1, write("1", "-a", history.OK, 20*ms, 21*ms), read(history.Fresh, "-", 22*ms, 23*ms), write("", "2", history.OK, 30*ms, 31*ms),
		}},
		{"deleted, and yet there", false, []history.Op{w1, write("1", "-a", history.OK, 20*ms, 21*ms), read(history.Fresh, "1", 22*ms, 23*ms)}},
		{"perhaps deleted", true, []history.Op{w1, write("1", "-a", history.Unknown, 20*ms, 0), read(history.Fresh, "-", 30*ms, 31*ms)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := history.Linearizable(tt.ops, 10*time.Second); (err == nil) != tt.ok {
				t.Errorf("%v, want ok %v", err, tt.ok)
			}
		})
	}
}

// Random histories of a real register pass; the same with one planted fault in
// them do not.
func TestPlantedFaults(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		ops := simulate(rng, 400)
		if err := history.Linearizable(ops, 10*time.Second); err != nil {
			t.Fatalf("seed %d: a true history: %v", seed, err)
		}
		stale := slices.Clone(ops)
		plant(t, rng, stale, func(op history.Op) bool { return op.Kind == history.Fresh && op.Value != "0" }, func(op *history.Op) {
			op.Value = "0" // The first value, which was replaced long ago.
		})
		if history.Linearizable(stale, 10*time.Second) == nil {
			t.Errorf("seed %d: a stale read went unnoticed", seed)
		}
		docs := chain(ops)
		if lost := history.Lost(ops, docs); len(lost) != 0 {
			t.Fatalf("seed %d: lost %v of a true history", seed, lost)
		}
		c := docs["d"]
		i := rng.IntN(len(c.Revs))
		gone := c.Revs[i]
		c.Revs = slices.Delete(slices.Clone(c.Revs), i, i+1)
		lost := history.Lost(ops, map[string]history.Chain{"d": c})
		if len(lost) != 1 || lost[0].Rev != gone {
			t.Errorf("seed %d: lost %v, want the write of %s", seed, lost, gone)
		}
		if len(history.Lost(ops, nil)) != history.Acknowledged(ops) {
			t.Errorf("seed %d: a lost document went unnoticed", seed)
		}
	}
}

// simulate runs clients against a register, one operation after another, with
// answers that arrive late.
func simulate(rng *rand.Rand, n int) []history.Op {
	ops := []history.Op{write("", "0", history.OK, 0, 1)}
	value := "0"
	for i := 1; i < n; i++ {
		at := time.Duration(i) * 10
		begin, end := at-time.Duration(rng.IntN(20)), at+time.Duration(rng.IntN(20))
		switch rng.IntN(3) {
		case 0:
			ops = append(ops, read(history.Fresh, value, begin, end))
		case 1:
			next := fmt.Sprint(i)
			ops = append(ops, write(value, next, history.OK, begin, end))
			value = next
		case 2:
			ops = append(ops, write("never", fmt.Sprint(i), history.Refused, begin, end))
		}
	}
	return ops
}

func chain(ops []history.Op) map[string]history.Chain {
	var c history.Chain
	for _, op := range slices.Backward(ops) {
		if op.Kind == history.Write && op.Outcome == history.OK {
			c.Revs = append(c.Revs, op.Rev)
		}
	}
	return map[string]history.Chain{"d": c}
}

// plant changes one operation of the second half.
func plant(t *testing.T, rng *rand.Rand, ops []history.Op, fits func(history.Op) bool, change func(*history.Op)) {
	t.Helper()
	var at []int
	for i := len(ops) / 2; i < len(ops); i++ {
		if fits(ops[i]) {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		t.Fatal("nowhere to plant a fault")
	}
	change(&ops[at[rng.IntN(len(at))]])
}

func TestStemmed(t *testing.T) {
	docs := map[string]history.Chain{"d": {Revs: []string{"9-c", "8-b"}, Stemmed: true}}
	ops := []history.Op{{Doc: "d", Kind: history.Write, Outcome: history.OK, Rev: "3-a"}}
	if lost := history.Lost(ops, docs); len(lost) != 0 {
		t.Errorf("lost %v: it is older than what is remembered", lost)
	}
	ops[0].Rev = "8-x"
	if lost := history.Lost(ops, docs); len(lost) != 1 {
		t.Error("another revision of a remembered generation went unnoticed")
	}
}

func TestMadeUp(t *testing.T) {
	ops := []history.Op{
		write("", "1", history.Unknown, 5*ms, 0),
		read(history.Stale, "1", 6*ms, 7*ms),
		read(history.Stale, "", 6*ms, 7*ms),
		read(history.Stale, "-", 6*ms, 7*ms),
	}
	if wrong := history.MadeUp(ops); len(wrong) != 0 {
		t.Errorf("%v", wrong)
	}
	ops = append(ops, read(history.Stale, "1", 1*ms, 2*ms), read(history.Stale, "rot", 6*ms, 7*ms))
	if wrong := history.MadeUp(ops); len(wrong) != 2 {
		t.Errorf("%d of 2 values from nowhere noticed: %v", len(wrong), wrong)
	}
}

func TestGap(t *testing.T) {
	l := history.NewLog()
	for _, at := range []time.Duration{10, 20, 90, 95, 300} {
		l.Add(write("", "x", history.OK, 0, at*ms))
	}
	for _, tt := range []struct{ from, until, want time.Duration }{
		{0, 50, 70}, {15, 50, 70}, {92, 100, 205}, {301, 400, 99}, {0, 12, 10},
	} {
		if got := l.Gap(tt.from*ms, tt.until*ms); got != tt.want*ms {
			t.Errorf("Gap(%d, %d) = %v, want %d ms", tt.from, tt.until, got, tt.want)
		}
	}
}
