package bigcouch_test

import (
	"fmt"
	"testing"
)

// Who wants nothing old is not let in by an old security object either: what was
// taken away through one node is taken away on all.
func TestFreshSecurity(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "a", "b", "c")
	c.start(c.names...)
	c.ready(c.names...)
	a := c.nodes["a"]
	a.admin(201, "PUT", "/db", "")
	const open, closed = `{"members":{"names":["webapp"]}}`, `{"members":{"names":["soledad"]}}`
	for round := range 20 {
		for _, step := range []struct {
			security string
			want     int
		}{{open, 201}, {closed, 403}} {
			a.admin(200, "PUT", "/db/_security", step.security)
			for _, name := range []string{"b", "c"} {
				if got := c.nodes[name].do("webapp", "PUT", fmt.Sprintf("/db/%s%d", name, round), `{}`, "X-Leap-Fresh: true"); got.status != step.want {
					t.Fatalf("round %d, %s after %s: %d %s, want %d", round, name, step.security, got.status, got.body, step.want)
				}
			}
		}
	}
}
