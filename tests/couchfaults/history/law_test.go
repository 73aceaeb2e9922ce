package history_test

import (
	"testing"
	"time"

	"leap.example/tests/couchfaults/history"
)

// law makes a write of a law, and under one of a document that every law up to
// one allows.
func law(n int, outcome history.Outcome, call, end time.Duration) history.Op {
	return history.Op{Doc: history.Law, Kind: history.Write, Law: n, Outcome: outcome, Call: call, Return: end}
}

func under(n int, outcome history.Outcome, call, end time.Duration) history.Op {
	return history.Op{Doc: "d", Kind: history.Write, Law: n, Outcome: outcome, Call: call, Return: end}
}

func TestUnlawful(t *testing.T) {
	first := law(1, history.OK, 10*ms, 20*ms)
	second := law(2, history.OK, 30*ms, 40*ms)
	for _, tt := range []struct {
		name string
		ok   bool
		ops  []history.Op
	}{
		{"nothing is forbidden where there is no law", false, []history.Op{under(0, history.Illegal, 0, 5*ms)}},
		{"before a law", true, []history.Op{first, under(0, history.OK, 1*ms, 5*ms)}},
		{"refused before a law", false, []history.Op{first, under(0, history.Illegal, 1*ms, 5*ms)}},
		{"while a law is made: done", true, []history.Op{first, under(0, history.OK, 12*ms, 15*ms)}},
		{"while a law is made: refused", true, []history.Op{first, under(0, history.Illegal, 12*ms, 15*ms)}},
		{"begun before a law is known, done after", true, []history.Op{first, under(0, history.OK, 19*ms, 25*ms)}},
		{"done under a law that forbids it", false, []history.Op{first, under(0, history.OK, 21*ms, 25*ms)}},
		{"refused under a law that forbids it", true, []history.Op{first, under(0, history.Illegal, 21*ms, 25*ms)}},
		{"refused under a law that allows it", false, []history.Op{first, under(1, history.Illegal, 21*ms, 25*ms)}},
		{"done under a law that allows it", true, []history.Op{first, under(1, history.OK, 21*ms, 25*ms)}},
		{"by the former law", false, []history.Op{first, second, under(1, history.OK, 41*ms, 45*ms)}},
		{"by the next law", false, []history.Op{first, second, under(1, history.Illegal, 21*ms, 25*ms)}},
		{"a law taken back", true, []history.Op{first, law(0, history.OK, 30*ms, 40*ms), under(0, history.OK, 41*ms, 45*ms)}},
		{"by a law taken back", false, []history.Op{first, law(0, history.OK, 30*ms, 40*ms), under(0, history.Illegal, 41*ms, 45*ms)}},
		{"a law that may be: done", true, []history.Op{law(1, history.Unknown, 10*ms, 0), under(0, history.OK, 80*ms, 81*ms)}},
		{"a law that may be: refused", true, []history.Op{law(1, history.Unknown, 10*ms, 0), under(0, history.Illegal, 80*ms, 81*ms)}},
		{"a law that was refused", false, []history.Op{law(1, history.Refused, 10*ms, 20*ms), under(0, history.Illegal, 21*ms, 25*ms)}},
		{"a law that might have been, behind another", false, []history.Op{
			law(5, history.Unknown, 10*ms, 0), law(6, history.OK, 30*ms, 40*ms), under(5, history.OK, 41*ms, 45*ms),
		}},
		{"what every law allows", true, []history.Op{first, under(history.Always, history.OK, 21*ms, 25*ms)}},
		{"unknown", true, []history.Op{first, under(0, history.Unknown, 21*ms, 0)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if wrong := history.Unlawful(tt.ops); (len(wrong) == 0) != tt.ok {
				t.Errorf("%v, want ok %v", wrong, tt.ok)
			}
		})
	}
}

func TestStrictest(t *testing.T) {
	ops := []history.Op{law(1, history.OK, 0, 1), law(3, history.Refused, 2, 3), law(0, history.OK, 4, 5), under(9, history.OK, 6, 7)}
	if n := history.Strictest(ops); n != 3 {
		t.Errorf("the strictest law was %d, want 3", n)
	}
}
