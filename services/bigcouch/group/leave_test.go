package group_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"leap.example/services/bigcouch/peer"
	"leap.example/services/bigcouch/store"
)

// ask sends a request to a node as its peers do.
func (c *cluster) ask(on, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	c.nodes[on].set.Handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

// pretend serves a node's port with something else than a node.
func (c *cluster) pretend(name string, h http.Handler) {
	c.t.Helper()
	port, err := peer.New(name, maps.Clone(c.addrs), c.ca.Cert(c.t, name), c.ca.Pool, quiet())
	if err != nil {
		c.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", c.addrs[name])
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- port.Serve(ctx, ln, h) }()
	c.t.Cleanup(func() {
		cancel()
		<-done
	})
}

// runs waits until a node has its replica of shard 1.
func (c *cluster) runs(name string) {
	c.t.Helper()
	c.eventually(name+" runs", func() error {
		if w := c.ask(name, "GET", "/_leap/v1/shards/1", ""); w.Code != http.StatusOK {
			return errors.New(w.Body.String())
		}
		return nil
	})
}

// history returns the name of the log of shard 1, once a node knows it.
func (c *cluster) history(on string) uint64 {
	c.t.Helper()
	var said struct{ History uint64 }
	c.eventually("the name of the history", func() error {
		err := json.Unmarshal(c.ask(on, "GET", "/_leap/v1/shards/1", "").Body.Bytes(), &said)
		if err == nil && said.History == 0 {
			err = errors.New("it has none")
		}
		return err
	})
	return said.History
}

// A node whose table gives a shard to others does not drop it because one of
// them takes itself for the leader: one that was cut off says the same. Nor does
// it when it was told something while it asked.
func TestStaying(t *testing.T) {
	t.Parallel()
	const without = `"members":{"Servers":[{"ID":"x@1","Address":"x@1"}]}}`
	for name, says := range map[string]func(c *cluster, history uint64, r *http.Request) string{
		"a stale leader": func(_ *cluster, history uint64, r *http.Request) string {
			if r.Method != http.MethodGet {
				return ""
			}
			return fmt.Sprintf(`{"state":"Leader","server":"x@1","history":%d,`+without, history)
		},
		"told more meanwhile": func(c *cluster, history uint64, r *http.Request) string {
			if !strings.HasSuffix(r.URL.Path, "/members") {
				return ""
			}
			_, before, err := c.nodes["a"].store.Log(1).Bounds()
			for after := before; err == nil && after == before; {
				c.write("b", "meanwhile")
				_, after, err = c.nodes["a"].store.Log(1).Bounds()
			}
			return fmt.Sprintf(`{"history":%d,`+without, history)
		},
		"voted meanwhile": func(c *cluster, history uint64, r *http.Request) string {
			if !strings.HasSuffix(r.URL.Path, "/members") {
				return ""
			}
			a := c.said("a")
			me, to := a.server(c.t, "c"), a.server(c.t, "a")
			ask := raft.RequestVoteRequest{
				RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(me), Addr: []byte(me)},
				Term:      a.Term + 1, LastLogIndex: 1 << 40, LastLogTerm: a.Term + 1, LeadershipTransfer: true,
			}
			var vote raft.RequestVoteResponse
			if err := c.voice(me, history).RequestVote(to, raft.ServerAddress(to), &ask, &vote); err != nil || !vote.Granted {
				return "" // It knew of a later term.
			}
			return fmt.Sprintf(`{"history":%d,`+without, history)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, abc(), "a", "x", "b", "c")
			c.start("a", "b", "c", "x")
			c.open("a")
			c.write("a", "d")
			c.equal("a", 3)
			c.stop("x")
			history := c.history("b")
			var lies atomic.Int64
			var told atomic.Bool
			c.pretend("x", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				said := ""
				if strings.HasPrefix(r.URL.Path, "/_leap/v1/shards/1") {
					said = says(c, history, r)
					lies.Add(1)
				}
				if said == "" {
					http.Error(w, "not the leader", http.StatusMisdirectedRequest)
					return
				}
				fmt.Fprint(w, said)
				told.Store(true)
			}))
			before := c.place
			c.stop("a")
			c.place = [][]string{{"a", "b", "c"}, {"x"}}
			c.start("a")
			c.place = before
			c.eventually("a asks x", func() error {
				n := lies.Load()
				if n >= 4 || told.Load() && c.nodes["a"].set.Statuses()[1].State == "Leader" { // Who leads asks nobody.
					return nil
				}
				return fmt.Errorf("%d times", n)
			})
			c.write("b", "later")
			c.eventually("a still follows", func() error { return c.has("a", "later") })
			c.equal("b", 3)
		})
	}
}

// A node that was removed from a shard and added again gets no vote for what it
// had before: it has to know that it is a member.
func TestAddedAgain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c")
	c.heartbeat = 5 * beat // Two of three have to agree all the time, also on a busy machine.
	c.start("a", "b", "c")
	c.open("a")
	c.write("a", "d")
	c.equal("a", 3)
	history, before := c.history("c"), c.said("c")
	c.stop("c")
	var asked atomic.Int64
	c.pretend("c", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/server"):
			fmt.Fprintf(w, `{"server":%q,"entry":%d}`, before.Server, store.EntryVersion)
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/shards/1"):
			asked.Add(1)
			fmt.Fprintf(w, `{"server":%q,"ready":true,"history":%d,"applied":%d,"leader":"a"}`, before.Server, history, before.Applied)
		default:
			http.Error(w, "not here", http.StatusServiceUnavailable)
		}
	}))
	for _, voters := range [][]string{{"a", "b"}, {"a", "b", "c"}} {
		for _, n := range []string{"a", "b"} {
			c.stop(n)
			c.place = [][]string{{"a", "b", "c"}, voters}
			c.start(n)
		}
		c.eventually("c is removed, or added", func() error {
			if st := c.nodes["a"].set.Statuses()[1]; len(st.Voters) != 2 || len(st.Others) != len(voters)-2 {
				return fmt.Errorf("%+v", st)
			}
			return nil
		})
	}
	from := asked.Load()
	c.eventually("c is asked", func() error {
		if n := asked.Load() - from; n < 4 {
			return fmt.Errorf("%d times", n)
		}
		return nil
	})
	if st := c.nodes["a"].set.Statuses()[1]; len(st.Voters) != 2 {
		t.Errorf("a vote for what c was: %+v", st)
	}
}

// Of two that would found a shard at the same time a node believes one.
func TestOnePromise(t *testing.T) {
	t.Parallel()
	for range 20 {
		c := newCluster(t, abc(), "a", "b", "c")
		c.start("c")
		c.runs("c")
		var given atomic.Int64
		var wg sync.WaitGroup
		begin := make(chan struct{})
		for i := range 8 {
			wg.Go(func() {
				<-begin
				if c.ask("c", "POST", "/_leap/v1/shards/1/vouch", fmt.Sprintf(`{"server":"x@%d","step":"promise"}`, i)).Code == 200 {
					given.Add(1)
				}
			})
		}
		close(begin)
		wg.Wait()
		if n := given.Load(); n != 1 {
			t.Fatalf("%d founders have the promise of one node", n)
		}
		c.stop("c")
	}
}

// A node with another history of a shard, that was given up for lost and has come
// back, is no part of what went on without it: it orders no writes, does not take
// what it has for fresh, and is given no vote.
func TestOldHistory(t *testing.T) {
	t.Parallel()
	c := newCluster(t, abc(), "a", "b", "c")
	c.start("a", "b", "c")
	c.open("a")
	c.write("a", "d")
	c.equal("a", 3)
	c.history("b")
	c.stop("b")
	old := c.nodes["b"].fs
	c.stop("a")
	c.stop("c")
	c.wipe("a")
	c.wipe("b")
	c.refound("c")
	c.start("a", "c")
	c.write("c", "new")
	c.nodes["b"].fs = old
	c.start("b")
	c.eventually("the old node is made a follower", func() error {
		if st := c.nodes["c"].set.Statuses()[1]; len(st.Voters) != 2 || len(st.Others) != 1 {
			if len(st.Voters) == 3 {
				t.Fatal("the old node has a vote")
			}
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	c.runs("b")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup // Each waits for seconds.
	wg.Go(func() {
		if err := c.nodes["b"].set.Barrier(ctx, 1); err == nil {
			t.Error("what the old node has is taken for fresh")
		}
	})
	wg.Go(func() {
		if err := c.tryWrite("b", "e"); err == nil {
			t.Error("the old node has a write done, and does not see it")
		}
	})
	wg.Wait()
	if st := c.nodes["c"].set.Statuses()[1]; len(st.Voters) != 2 {
		t.Errorf("the old node has a vote: %+v", st)
	}
}
