package bigcouch_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"leap.example/services/bigcouch/store"
)

const (
	refusing = `function(newDoc) { throw({forbidden: "no"}) }`
	refusal  = `{"error":"forbidden","reason":"no"}`
)

// risen waits until all nodes see all their shards at the newest version of
// entries.
func (c *cluster) risen() {
	c.t.Helper()
	for _, n := range c.nodes {
		poll(c.t, func() bool {
			var got struct{ Shards []struct{ Version int } }
			body := n.admin(200, "GET", "/_node/_local/_cluster", "").body
			err := json.Unmarshal([]byte(body), &got)
			low := func(s struct{ Version int }) bool { return s.Version != 0 && s.Version != store.EntryVersion }
			return err == nil && !slices.ContainsFunc(got.Shards, low)
		})
	}
}

// What design documents say counts on all nodes as soon as it is acknowledged
// on one, also where nobody has decided before, and where a database lies in
// several parts.
func TestJudgedByTheNewest(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "a", "b", "c")
	c.start(c.names...)
	c.ready(c.names...)
	c.risen()
	for _, q := range []int{1, 3} {
		db := fmt.Sprintf("/q%d", q)
		c.nodes["a"].admin(201, "PUT", fmt.Sprintf("%s?q=%d", db, q), "")
		for i := range 12 {
			by, other := c.nodes[c.names[i%3]], c.nodes[c.names[(i+1+i/3%2)%3]]
			rev := by.admin(201, "PUT", db+"/_design/rules", validating(refusing)).rev(t)
			if got := other.do("admin", "PUT", fmt.Sprintf("%s/doc%d", db, i), `{}`); got.status != 403 || got.body != refusal {
				t.Errorf("q=%d, round %d, after the rules: %d %s", q, i, got.status, got.body)
			}
			by.admin(200, "DELETE", db+"/_design/rules?rev="+rev, "")
			if got := other.do("admin", "PUT", fmt.Sprintf("%s/doc%d", db, i), `{}`); got.status != 201 {
				t.Errorf("q=%d, round %d, after their end: %d %s", q, i, got.status, got.body)
			}
		}
	}
}

// Writers that cross changes of the rules are judged by those where they stand,
// and none fails because of the change.
func TestJudgedWhileRulesChange(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "a", "b", "c")
	c.start(c.names...)
	c.ready(c.names...)
	c.risen()
	c.nodes["a"].admin(201, "PUT", "/db", "")
	var wg sync.WaitGroup
	for i, name := range c.names {
		n := c.nodes[name]
		wg.Go(func() {
			for j := range 30 {
				body := fmt.Sprintf(`{"docs":[{"_id":"%d-%d-a"},{"_id":"%d-%d-b"}]}`, i, j, i, j)
				got := n.do("admin", "POST", "/db/_bulk_docs", body)
				if no, yes := strings.Count(got.body, `"forbidden"`), strings.Count(got.body, `"ok":true`); got.status != 201 || no+yes != 2 || no == 1 {
					t.Errorf("through %s: %d %s", name, got.status, got.body)
				}
			}
		})
	}
	for range 10 {
		rev := c.nodes["b"].admin(201, "PUT", "/db/_design/rules", validating(refusing)).rev(t)
		c.nodes["c"].admin(200, "DELETE", "/db/_design/rules?rev="+rev, "")
	}
	wg.Wait()
}

// A list that is repeated has the first answer, whatever those who decide say by
// then, and whatever ids its documents have been given.
func TestRepeatedLists(t *testing.T) {
	t.Parallel()
	for _, q := range []string{"1", "4"} {
		t.Run("q="+q, func(t *testing.T) {
			t.Parallel()
			n := start(t, t.TempDir())
			n.admin(201, "PUT", "/db?q="+q, "")
			n.admin(200, "PUT", "/db/_security", `{"members":{"names":["webapp"]}}`)
			rules := `function(newDoc, oldDoc) { if (newDoc.%s) throw({forbidden: "has it"}) }`
			rev := n.admin(201, "PUT", "/db/_design/rules", validating(fmt.Sprintf(rules, "bad"))).rev(t)
			const op = "X-Leap-Op: 0123456789abcdef-lists"
			const list = `{"docs":[{"_id":"a"},{"_id":"b","bad":true},{"good":true},{"_id":"_design/x"},{"bad":true},{"_id":"c","good":true},{}]}`
			post := func() string {
				t.Helper()
				got := n.do("webapp", "POST", "/db/_bulk_docs", list, op)
				if got.status != 201 {
					t.Fatalf("%d %s", got.status, got.body)
				}
				return got.body
			}
			first := post()
			if ok, no := strings.Count(first, `"ok":true`), strings.Count(first, "has it"); ok != 4 || no != 2 || strings.Count(first, `"forbidden"`) != 3 {
				t.Errorf("first: %s", first)
			}
			if again := post(); again != first {
				t.Errorf("repeated: %s, first %s", again, first)
			}
			rev = n.admin(201, "PUT", "/db/_design/rules?rev="+rev, validating(fmt.Sprintf(rules, "good"))).rev(t)
			n.admin(200, "PUT", "/db/_security", `{"admins":{"names":["webapp"]},"members":{"names":["webapp"]}}`)
			if again := post(); again != first {
				t.Errorf("by other rules: %s, first %s", again, first)
			}
			n.admin(200, "DELETE", "/db/_design/rules?rev="+rev, "")
			if again := post(); again != first {
				t.Errorf("without rules: %s, first %s", again, first)
			}
			if got := n.admin(200, "GET", "/db", ""); !strings.Contains(got.body, `"doc_count":4`) {
				t.Errorf("what there is: %s", got.body)
			}
			// A refusal that was asked for by name stays as well.
			n.admin(201, "PUT", "/db/_design/never", validating(refusing))
			n.do("webapp", "PUT", "/db/late", `{}`, op)
			one := n.do("webapp", "PUT", "/db/late", `{}`, op)
			if one.status != 403 || one.body != refusal {
				t.Errorf("one document: %d %s", one.status, one.body)
			}
		})
	}
}
