package bigcouch_test

import (
	"net/http"
	"strings"
	"testing"
)

// A node that has lost its leaders says so to load balancers, at once which
// shards have none, and after a while that others are to be asked. What it has
// is read nevertheless.
func TestUpWithoutLeaders(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "a", "b", "c")
	c.start(c.names...)
	c.ready(c.names...)
	a := c.nodes["a"]
	a.admin(201, "PUT", "/db", "")
	a.admin(201, "PUT", "/db/doc", `{"n":1}`)
	poll(t, func() bool { return strings.TrimSpace(a.do("", "GET", "/_up", "").body) == `{"status":"ok"}` })
	for _, name := range []string{"b", "c"} {
		if err := c.nodes[name].stop(); err != nil {
			t.Fatal(err)
		}
	}
	const all = `"no_leader":[0,1,2,3,4,5,6,7,8]`
	poll(t, func() bool {
		got := a.do("", "GET", "/_up", "")
		return got.status == http.StatusOK && strings.Contains(got.body, all)
	})
	poll(t, func() bool {
		got := a.do("", "GET", "/_up", "")
		return got.status == http.StatusNotFound && strings.HasPrefix(got.body, `{"status":"no_leader",`+all)
	})
	a.admin(200, "GET", "/db/doc", "")
}
