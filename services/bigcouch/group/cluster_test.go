package group_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"leap.example/services/bigcouch/group"
	"leap.example/services/bigcouch/peer"
	"leap.example/services/bigcouch/peertest"
	"leap.example/services/bigcouch/shard"
	"leap.example/services/bigcouch/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// beat makes elections quick.
const beat = 200 * time.Millisecond

// A cluster is nodes in one process, each with a disk in memory, unless options
// says otherwise.
type cluster struct {
	t     testing.TB
	ca    *peertest.Authority
	names []string
	addrs map[string]string
	place [][]string
	nodes map[string]*node

	trailing, threshold uint64
	heartbeat           time.Duration

	options func(name string) store.Options
}

// A node is a node that runs, or has run.
type node struct {
	fs    *vfs.MemFS
	store *store.Store
	set   *group.Set
	stop  func()
	mu    sync.Mutex
	ended error
}

func newCluster(t testing.TB, place [][]string, names ...string) *cluster {
	c := &cluster{t: t, ca: peertest.New(t), names: names, addrs: map[string]string{}, place: place, nodes: map[string]*node{}, heartbeat: beat}
	c.options = func(name string) store.Options {
		return store.Options{Dir: "db", FS: c.nodes[name].fs, CacheBytes: 4 << 20, MemTableBytes: 1 << 20}
	}
	for _, n := range names {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.addrs[n] = ln.Addr().String()
		ln.Close()
		c.nodes[n] = &node{fs: vfs.NewCrashableMem()}
	}
	t.Cleanup(func() {
		for _, n := range c.names {
			c.stop(n)
		}
	})
	return c
}

func (c *cluster) start(names ...string) {
	c.t.Helper()
	for _, name := range names {
		n := c.nodes[name]
		log := quiet().With("node", name)
		var err error
		options := c.options(name)
		options.Log = log
		n.store, err = store.Open(options)
		if err != nil {
			c.t.Fatal(err)
		}
		port, err := peer.New(name, maps.Clone(c.addrs), c.ca.Cert(c.t, name), c.ca.Pool, log)
		if err != nil {
			c.t.Fatal(err)
		}
		n.set, err = group.New(group.Config{
			Self: name, Nodes: c.names, Voters: c.place, Heartbeat: c.heartbeat, TrailingLogs: c.trailing, SnapshotThreshold: c.threshold,
		}, n.store, port, log, func(context.Context, uint16) {})
		if err != nil {
			c.t.Fatal(err)
		}
		ln, err := net.Listen("tcp", c.addrs[name])
		if err != nil {
			c.t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		portCtx, portCancel := context.WithCancel(context.Background())
		wg.Go(func() {
			err := n.set.Run(ctx)
			n.mu.Lock()
			n.ended = err
			n.mu.Unlock()
			portCancel()
		})
		wg.Go(func() { _ = port.Serve(portCtx, ln, n.set.Handler()) })
		st := n.store
		n.stop = func() {
			cancel()
			wg.Wait()
			st.Close()
		}
	}
}

// quiet returns a logger that says something only when it is asked to.
func quiet() *slog.Logger {
	if os.Getenv("LEAP_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

// stop ends a node in an orderly way.
func (c *cluster) stop(name string) {
	if n := c.nodes[name]; n.stop != nil {
		n.stop()
		n.stop = nil
	}
}

// crash takes the power of a node: what was not synced is lost, or part of it.
func (c *cluster) crash(name string, lost int) {
	n := c.nodes[name]
	after := n.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: lost, RNG: rand.New(rand.NewPCG(uint64(lost), 1))})
	c.stop(name)
	n.fs = after
}

// wipe gives a node that is stopped an empty disk.
func (c *cluster) wipe(name string) { c.nodes[name].fs = vfs.NewCrashableMem() }

func (c *cluster) eventually(what string, f func() error) {
	c.t.Helper()
	var err error
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		if err = f(); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond) // Between polls only.
	}
	c.t.Fatalf("%s: %v", what, err)
}

const dbID = 77

var db = &store.Database{Name: "db", ID: dbID, Shard: 1}

func (c *cluster) propose(on string, shardNo uint16, cmd store.Command) (store.Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, r, err := c.nodes[on].set.Propose(ctx, shardNo, store.Entry{Time: time.Now().UnixMilli(), Cmd: cmd})
	return r, err
}

func (c *cluster) open(on string) {
	c.t.Helper()
	c.eventually("opening a database", func() error {
		_, err := c.propose(on, 1, store.OpenDatabase{DB: dbID})
		return err
	})
}

func (c *cluster) write(on, id string) {
	c.t.Helper()
	c.eventually("writing "+id+" on "+on, func() error { return c.tryWrite(on, id) })
}

func (c *cluster) tryWrite(on, id string) error {
	r, err := c.propose(on, 1, store.WriteDocs{DB: dbID, RevsLimit: 10, Docs: []store.Doc{{ID: id, Body: []byte(`{"a":1}`)}}})
	switch {
	case err != nil:
		return err
	case r.Err != nil:
		return r.Err
	case r.Docs[0].Err != nil && !errors.Is(r.Docs[0].Err, store.ErrConflict):
		return r.Docs[0].Err
	}
	return nil
}

// has reports whether a node's own copy has a document.
func (c *cluster) has(on, id string) error {
	v := c.nodes[on].store.View()
	defer v.Close()
	d, err := v.Document(db, id)
	if err == nil && d == nil {
		err = fmt.Errorf("%s is not on %s", id, on)
	}
	return err
}

// equal waits until all replicas of shard 1 are the same.
func (c *cluster) equal(on string, replicas int) {
	c.t.Helper()
	c.eventually("equal replicas", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		got, err := c.nodes[on].set.Compare(ctx, 1)
		if err != nil {
			return err
		}
		if !got.Equal && len(got.Digests) > 1 {
			c.t.Fatalf("replicas differ: %+v", got)
		}
		if len(got.Digests) != replicas {
			return fmt.Errorf("%d replicas: %+v", len(got.Digests), got)
		}
		return nil
	})
}

func abc() [][]string {
	return [][]string{{"a", "b", "c"}, {"a", "b", "c"}}
}

func TestThreeNodes(t *testing.T) {
	c := newCluster(t, abc(), "a", "b", "c")
	c.start("a", "b", "c")
	c.open("b")
	for i := range 30 {
		c.write(c.names[i%3], fmt.Sprintf("d%d", i))
	}
	// Who writes on a node reads it there.
	for _, n := range c.names {
		c.write(n, "own-"+n)
		if err := c.has(n, "own-"+n); err != nil {
			t.Error(err)
		}
	}
	c.equal("a", 3)
	// A barrier on any node shows what was acknowledged on another.
	for i := range 10 {
		c.write("a", fmt.Sprintf("fresh%d", i))
		if err := c.nodes["c"].set.Barrier(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := c.has("c", fmt.Sprintf("fresh%d", i)); err != nil {
			t.Error(err)
		}
	}
	c.stop("a")
	c.write("b", "without-a")
	c.stop("b")
	if _, err := c.propose("c", 1, store.WriteDocs{DB: dbID}); !errors.Is(err, shard.ErrNoMajority) {
		t.Errorf("alone: %v", err)
	}
	if err := c.has("c", "d0"); err != nil {
		t.Error(err)
	}
	c.start("a", "b")
	c.write("a", "again")
	c.equal("b", 3)
	if err := c.has("c", "without-a"); err != nil {
		t.Error(err)
	}
}
