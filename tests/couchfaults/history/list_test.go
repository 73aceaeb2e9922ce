package history_test

import (
	"strings"
	"testing"

	"leap.example/tests/couchfaults/history"
)

func TestMisread(t *testing.T) {
	op := func(doc string, outcome history.Outcome) history.Op {
		return history.Op{Doc: doc, Kind: history.Write, Outcome: outcome, Return: ms}
	}
	late := op("e", history.OK)
	late.Call, late.Return = 50*ms, 60*ms
	ops := []history.Op{
		op("a", history.OK), op("b", history.OK), op("c", history.OK), op("d", history.Unknown), late,
		op("hot", history.OK), op("hot", history.OK),
	}
	for _, tt := range []struct {
		name, want string
		from, ids  string
		limit      int
		descending bool
	}{
		{name: "all", ids: "a b c", limit: 9},
		{name: "with what may be there, or comes and goes", ids: "a b c d hot", limit: 9},
		{name: "from the middle", from: "b", ids: "b c", limit: 9},
		{name: "the first ones", ids: "a b", limit: 2},
		{name: "the last ones", from: "x", ids: "d c", limit: 2, descending: true},
		{name: "nothing follows", from: "x", limit: 2},
		{name: "out of order", ids: "b a c", limit: 9, want: "a comes behind b"},
		{name: "twice", ids: "a a b c", limit: 9, want: "a comes behind a"},
		{name: "before the beginning", from: "b", ids: "a b c", limit: 9, want: "a comes behind b"},
		{name: "in the wrong direction", from: "x", ids: "c d", limit: 2, descending: true, want: "d comes behind c"},
		{name: "one is missing", ids: "a c", limit: 9, want: "b, acknowledged"},
		{name: "the first one is missing", ids: "b c", limit: 2, want: "a, acknowledged"},
		{name: "the last one is missing", ids: "a b", limit: 9, want: "c, acknowledged"},
		{name: "all are missing", limit: 9, want: "acknowledged"},
		{name: "one is missing in the other direction", from: "x", ids: "c a", limit: 2, descending: true, want: "b, acknowledged"},
		{name: "from nowhere", ids: "a b bb c", limit: 9, want: "nobody had written it"},
		{name: "from the future", ids: "a b c e", limit: 9, want: "e is in a list, and nobody"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := history.List{
				Kind: history.Fresh, From: tt.from, Limit: tt.limit, Descending: tt.descending, IDs: strings.Fields(tt.ids), Call: 20 * ms, Return: 30 * ms,
			}
			err := history.Misread(ops, []history.List{l})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			l.Kind = history.Stale
			if err := history.Misread(ops, []history.List{l}); err != nil && (tt.want == "" || strings.Contains(tt.want, "acknowledged")) {
				t.Errorf("a stale list: %v", err)
			}
		})
	}
}
