package bigcouch_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"leap.example/services/bigcouch"
	"leap.example/services/bigcouch/peertest"
)

// A cluster is nodes in this process.
type cluster struct {
	t     testing.TB
	names []string
	nodes map[string]*node
	dirs  map[string]string
	ca    *peertest.Authority
	conf  []bigcouch.ConfigNode
	place [][]string
	ways  map[string]string // Where a node is, for others than itself, if not where it listens.
}

// newCluster returns a cluster of which nothing runs yet.
func newCluster(t testing.TB, copies int, names ...string) *cluster {
	c := &cluster{t: t, names: names, nodes: map[string]*node{}, dirs: map[string]string{}, ca: peertest.New(t)}
	for _, name := range names {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.conf = append(c.conf, bigcouch.ConfigNode{Name: name, Peer: ln.Addr().String()})
		ln.Close()
		c.dirs[name] = t.TempDir()
	}
	c.place = bigcouch.ConfigPlacement(c.conf, 8, copies)
	return c
}

// with returns what makes a node's configuration that of a member.
func (c *cluster) with(name string) func(*bigcouch.Config) {
	return func(cfg *bigcouch.Config) {
		cert, key, ca := c.ca.Files(c.t, c.dirs[name], name)
		cfg.Cluster = &bigcouch.ConfigCluster{Node: name, CertFile: cert, KeyFile: key, CAFile: ca, Nodes: slices.Clone(c.conf), Placement: c.place}
		for i, n := range c.conf {
			if n.Name == name {
				cfg.Cluster.Listen = n.Peer
			} else if at := c.ways[n.Name]; at != "" {
				cfg.Cluster.Nodes[i].Peer = at
			}
		}
	}
}

func (c *cluster) start(names ...string) {
	c.t.Helper()
	for _, name := range names {
		c.nodes[name] = start(c.t, c.dirs[name], c.with(name))
	}
}

// ready waits until nodes say that they are up and can write.
func (c *cluster) ready(names ...string) {
	c.t.Helper()
	for _, name := range names {
		n := c.nodes[name]
		poll(c.t, func() bool { return n.do("", "GET", "/_up", "").status == http.StatusOK })
		poll(c.t, func() bool {
			status := n.do("admin", "PUT", "/ready-"+name, "").status
			return status == http.StatusCreated || status == http.StatusPreconditionFailed
		})
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "a", "b", "c")
	c.start(c.names...)
	c.ready(c.names...)
	a, b := c.nodes["a"], c.nodes["b"]
	a.admin(201, "PUT", "/db", "")
	b.admin(412, "PUT", "/db", "")
	b.admin(200, "PUT", "/db/_security", `{"members":{"names":["webapp"]}}`)
	r := b.admin(201, "PUT", "/db/doc", `{"n":1}`)
	a.admin(200, "GET", "/db/doc?r=2", "")
	a.admin(409, "PUT", "/db/doc", `{"n":2}`)
	a.admin(201, "PUT", "/db/doc?rev="+r.rev(t), `{"n":2}`)
	if got := c.nodes["c"].do("stranger", "GET", "/db/doc?r=2", ""); got.status != http.StatusForbidden {
		t.Errorf("a stranger: %d %s", got.status, got.body)
	}
	// A sequence that one node told means the same to another.
	var feed struct {
		Last string `json:"last_seq"`
	}
	if err := json.Unmarshal([]byte(a.admin(200, "GET", "/db/_changes", "").body), &feed); err != nil {
		t.Fatal(err)
	}
	if got := c.nodes["c"].admin(200, "GET", "/db/_changes?since="+feed.Last, ""); strings.Contains(got.body, `"id"`) {
		t.Errorf("since of another node: %s", got.body)
	}
	// One node away: nothing changes for clients.
	if err := c.nodes["a"].stop(); err != nil {
		t.Fatal(err)
	}
	poll(t, func() bool { return b.do("admin", "PUT", "/db/second", `{}`).status == 201 })
	b.admin(200, "GET", "/db/second", "")
	c.start("a")
	c.ready("a")
	c.nodes["a"].admin(200, "GET", "/db/second?r=2", "")
	if got := c.nodes["a"].admin(200, "POST", "/_node/_local/_digest", `{}`); !strings.Contains(got.body, `"equal":true`) {
		t.Errorf("digests: %s", got.body)
	}
	b.admin(200, "DELETE", "/db", "")
	c.nodes["c"].admin(404, "GET", "/db?r=2", "")
}

// On five nodes with three copies most nodes do not have a given database: they
// pass requests on, whatever they are.
func TestPassing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "a", "b", "c", "d", "e")
	c.start(c.names...)
	c.ready(c.names...)
	big := strings.Repeat("0123456789abcdef", 40_000)
	for i, name := range c.names {
		n := c.nodes[name]
		db := fmt.Sprintf("/db%d", i)
		n.admin(201, "PUT", db, "")
		for j, other := range c.names {
			n := c.nodes[other]
			doc := fmt.Sprintf("%s/a%%2Fb+%d", db, j)
			rev := n.admin(201, "PUT", doc, `{"n":1}`).rev(t)
			n.admin(201, "PUT", doc+"/att?rev="+rev, big)
			if got := n.admin(200, "GET", doc+"/att", ""); got.body != big {
				t.Errorf("attachment by %s: %d bytes", other, len(got.body))
			}
			n.admin(200, "POST", db+"/_find", `{"selector":{"n":1}}`)
			if got := n.admin(200, "GET", db, ""); !strings.Contains(got.body, fmt.Sprintf(`"doc_count":%d`, j+1)) {
				t.Errorf("%s by %s: %s", db, other, got.body)
			}
			if got := n.do("stranger", "GET", doc, ""); got.status != http.StatusForbidden {
				t.Errorf("a stranger by %s: %d", other, got.status)
			}
			n.admin(404, "GET", db+"/nosuch", "")
		}
	}
}

// One node becomes three, with all that it has.
func TestGrowing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "a", "b", "c")
	a := start(t, c.dirs["a"])
	for i := range 10 {
		a.admin(201, "PUT", fmt.Sprintf("/db%d", i), "")
		a.admin(201, "PUT", fmt.Sprintf("/db%d/doc", i), `{"n":1}`)
	}
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	c.start("b", "c", "a")
	c.ready("a", "b", "c")
	for i := range 10 {
		poll(t, func() bool { return c.nodes["b"].do("admin", "GET", fmt.Sprintf("/db%d/doc?r=2", i), "").status == 200 })
		c.nodes["c"].admin(201, "PUT", fmt.Sprintf("/db%d/doc2", i), `{}`)
	}
	poll(t, func() bool {
		var got struct {
			Equal  bool
			Shards map[string]struct{ Digests map[string]string }
		}
		err := json.Unmarshal([]byte(c.nodes["a"].admin(200, "POST", "/_node/_local/_digest", `{}`).body), &got)
		return err == nil && got.Equal && len(got.Shards["1"].Digests) == 3 && len(got.Shards["8"].Digests) == 3
	})
	if err := c.nodes["a"].stop(); err != nil {
		t.Fatal(err)
	}
	poll(t, func() bool { return c.nodes["b"].do("admin", "PUT", "/db1/doc3", `{}`).status == 201 })
	// A member does not start by itself.
	cfg := config(t, c.dirs["a"])
	s, err := bigcouch.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "belongs to a cluster") {
		t.Errorf("alone: %v", err)
	}
}

func TestConfigPlacement(t *testing.T) {
	t.Parallel()
	var nodes []bigcouch.ConfigNode
	for i := range 6 {
		nodes = append(nodes, bigcouch.ConfigNode{Name: fmt.Sprintf("n%d", i), Zone: fmt.Sprintf("z%d", i%3)})
	}
	before := bigcouch.ConfigPlacement(nodes, 64, 3)
	zone := map[string]string{}
	load := map[string]int{}
	for _, n := range nodes {
		zone[n.Name] = n.Zone
	}
	for i, voters := range before {
		if len(voters) != 3 || zone[voters[0]] == zone[voters[1]] || zone[voters[1]] == zone[voters[2]] || zone[voters[0]] == zone[voters[2]] {
			t.Errorf("shard %d: %v", i, voters)
		}
		for _, v := range voters {
			load[v]++
		}
	}
	for _, n := range nodes {
		if load[n.Name] < 15 || load[n.Name] > 55 {
			t.Errorf("%s has %d of 65 shards", n.Name, load[n.Name])
		}
	}
	// One node more moves about its share.
	moved := 0
	for i, voters := range bigcouch.ConfigPlacement(append(nodes, bigcouch.ConfigNode{Name: "n6", Zone: "z0"}), 64, 3) {
		for _, v := range voters {
			if !strings.Contains(fmt.Sprint(before[i]), v) {
				moved++
			}
		}
	}
	if moved > 40 {
		t.Errorf("%d of 195 copies moved", moved)
	}
	for _, tt := range []struct{ nodes, copies, want int }{{1, 3, 1}, {2, 3, 1}, {3, 3, 3}, {4, 4, 3}, {5, 5, 5}} {
		if got := len(bigcouch.ConfigPlacement(nodes[:tt.nodes], 1, tt.copies)[0]); got != tt.want {
			t.Errorf("%d nodes, %d copies: %d voters, want %d", tt.nodes, tt.copies, got, tt.want)
		}
	}
}
