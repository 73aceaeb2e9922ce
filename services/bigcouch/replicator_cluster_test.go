package bigcouch_test

import (
	"encoding/json"
	"fmt"
	"testing"
)

// On a cluster each job runs on one node, and on another when that one dies;
// every node tells of all.
func TestReplicatorOfCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "a", "b", "c")
	c.start(c.names...)
	c.ready(c.names...)
	a, b := c.nodes["a"], c.nodes["b"]
	a.admin(201, "PUT", "/_replicator", "")
	a.admin(201, "PUT", "/db", "")
	a.bulk("db", 0, 20)
	const jobs = 3
	for i := range jobs {
		a.admin(201, "PUT", fmt.Sprintf("/_replicator/job%d", i), fmt.Sprintf(`{"source":"db","target":"copy%d","create_target":true,"continuous":true,%s}`, i, asAdmin))
	}
	running := func(n *node) func() bool {
		return func() bool {
			var jobsOf struct {
				Jobs []struct {
					Doc  string `json:"doc_id"`
					Node string
				}
			}
			var docs struct{ Docs []struct{ State string } }
			for path, to := range map[string]any{"jobs": &jobsOf, "docs": &docs} {
				if err := json.Unmarshal([]byte(n.admin(200, "GET", "/_scheduler/"+path, "").body), to); err != nil {
					t.Fatal(err)
				}
			}
			ran := 0
			for _, d := range docs.Docs {
				if d.State == "running" {
					ran++
				}
			}
			ids := map[string]bool{}
			for _, j := range jobsOf.Jobs {
				ids[j.Doc] = true
			}
			return ran == jobs && len(ids) == jobs && len(jobsOf.Jobs) == jobs
		}
	}
	poll(t, running(b))
	for i := range jobs {
		poll(t, func() bool { return b.count(fmt.Sprintf("copy%d", i)) == 20 })
	}
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	poll(t, func() bool { return b.do("admin", "PUT", "/db/later", `{}`).status == 201 })
	for i := range jobs {
		poll(t, b.has(fmt.Sprintf("/copy%d/later", i)))
	}
	poll(t, running(c.nodes["c"]))
}
