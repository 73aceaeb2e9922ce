package couchtest

import (
	"fmt"
	"testing"

	"leap.example/services/protocol/problem"
)

// nodes has several agents agree on which of them has its turn.
func (s Server) nodes(t *testing.T) {
	ctx := limited(t)
	st := s.DB(t, "agent").Nodes()
	name := "slot-" + random()
	value, rev, err := st.Read(ctx, name)
	ok(t, "reading what is not there", err)
	if value != nil || rev != "" {
		t.Errorf("there is %s in %s", value, rev)
	}
	for round := range 3 {
		_, rev, err := st.Read(ctx, name)
		ok(t, "reading", err)
		const contenders = 4
		won := 0
		for k, err := range together(contenders, func(k int) error {
			return s.DB(t, "agent").Nodes().Write(ctx, name, rev, fmt.Appendf(nil, `{"holder":"n%d"}`, k))
		}) {
			if err == nil {
				won++
				value, _, err = st.Read(ctx, name)
				ok(t, "reading it back", err)
				if string(value) != fmt.Sprintf(`{"holder":"n%d"}`, k) {
					t.Errorf("round %d: n%d has won, and there is %s", round, k, value)
				}
				continue
			}
			is(t, "a contender who was late", err, problem.Stale)
		}
		if won != 1 {
			t.Errorf("round %d: %d have won", round, won)
		}
	}
	is(t, "a malformed name", st.Write(ctx, "a/b", "", []byte("{}")), problem.Invalid)
	is(t, "what is no JSON", st.Write(ctx, name, "", []byte("{")), problem.Invalid)
	ok(t, "all nodes are up", st.Up(ctx))
}
