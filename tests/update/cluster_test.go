package update

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/deploy"
	"leap.example/image/provider"
	"leap.example/tests/lab"
	"leap.example/updater/target"
)

const (
	member   = "monitor" // This process, in the mesh.
	memberIP = "10.77.0.9"
	common   = `{
	"time": {"servers": ["0.pool.ntp.org"]},
	"gate": {"ready": "8m", "watch": "2s"},
	"couchdb": {"shards": 2, "heartbeat": "5s"},
	"updates": {"vendor": {"sources": [%q], "root": "updates/vendor.json"}, "director": {"sources": [%q]}, "poll": "4s"},
}`
)

var databases = []string{"db1", "db2", "db3"}

// TestCluster has three nodes of the database update themselves: never are two of them
// away, and the database takes writes throughout.
func TestCluster(t *testing.T) {
	if !*long || !*qemu {
		t.Skip("three machines are booted with -qemu -long only")
	}
	r, dir := newRepositories(t), t.TempDir()
	op := lab.NewOperator(t, dir, provider.Answers{
		Domain: "demo.example", Name: "Demonstration", Contact: "postmaster@demo.example", Enrollment: "invite", Operator: "alice",
	}, "{}")
	for file, text := range map[string][]byte{
		"files/updates/vendor.json": r.vendor.repo.RootFile(1), "files/updates/director.json": r.director.repo.RootFile(1),
		"common.json": fmt.Appendf(nil, common, source("vendor"), source("director")),
	} {
		check(t, provider.Write(op.Dir, file, text, 0o644))
	}
	for k, name := range databases {
		op.AddNode(name, "services:couchdb", fmt.Sprintf("ip_address:10.77.0.1%d", k+1))
	}
	key := op.Join(member, netip.MustParseAddr(memberIP))
	l := lab.New(t, dir, op, lab.Options{Memory: map[string]int{"": 512}, Firmware: true, Artefacts: *artefacts, Without: []string{member}})
	r.serve(l.Lab())
	l.Step("three nodes are born, deployed and healthy", func() {
		check(t, l.Start(t.Context()))
		l.Meet()
		for _, one := range op.Deploy(databases...) {
			if one.Outcome != deploy.Good {
				t.Fatalf("%+v", one)
			}
		}
		for _, name := range databases {
			l.Healthy(name)
		}
	})
	db := newWriter(t, l, l.Connect(member, key))
	w := watch(t, op, db)
	l.Step("all three update themselves, one after the other", func() {
		r.plan(target.Rollout{Release: "0.1.0", Begins: time.Now().UTC(), Waves: []target.Wave{{Percent: 30}, {After: target.Duration(40 * time.Second), Percent: 100}}})
		r.release("0.1.0", nil)
		for _, name := range databases {
			l.Status(name, func(s node.Status) error {
				if s.Release != "0.1.0" || s.Image.State != node.StateGood || s.Update == nil || s.Update.State != node.UpdateNothing {
					return fmt.Errorf("it runs %s, %s, updates %+v", s.Release, s.Image.State, s.Update)
				}
				return nil
			})
		}
	})
	w.end()
	t.Logf("           at most %d of three were away, and the longest wait of a write was %.1f s, of %d", w.most, w.slowest.Seconds(), w.writes)
	if w.most != 1 {
		t.Errorf("%d were away at once", w.most)
	}
}

// A writer writes to the database, by whichever node takes it.
type writer struct {
	http *http.Client
	urls []string
	pass string
}

func newWriter(t *testing.T, l *lab.Lab, m *lab.Member) *writer {
	t.Helper()
	tr := &http.Transport{DialContext: m.DialContext, ResponseHeaderTimeout: 10 * time.Second}
	t.Cleanup(tr.CloseIdleConnections)
	w := &writer{http: &http.Client{Transport: tr, Timeout: 15 * time.Second}, pass: strings.TrimSpace(string(l.Op.Secrets()["password.admin"]))}
	i, _ := l.Op.Open()
	for _, name := range databases {
		w.urls = append(w.urls, "http://"+netip.AddrPortFrom(i.Node(name).Mesh.Address, 5984).String())
	}
	return w
}

// write writes a document, at one node after the other until one has taken it.
func (w *writer) write(ctx context.Context, n int) error {
	for k := 0; ; k++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, fmt.Sprintf("%s/nodes/written-%d", w.urls[k%len(w.urls)], n), strings.NewReader("{}"))
		if err != nil {
			return err
		}
		req.SetBasicAuth("admin", w.pass)
		resp, err := w.http.Do(req)
		if err == nil {
			_ = resp.Body.Close() // Only looked at.
			if resp.StatusCode/100 == 2 || resp.StatusCode == http.StatusConflict {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// A watcher has seen how many nodes were away at once, and how long writes took.
type watcher struct {
	stop    func()
	running sync.WaitGroup

	mu      sync.Mutex
	away    map[string]bool
	most    int
	writes  int
	slowest time.Duration
}

// watch watches until it is ended.
func watch(t *testing.T, op *lab.Operator, db *writer) *watcher {
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{stop: cancel, away: map[string]bool{}}
	for _, name := range databases {
		c := op.Client(name)
		w.running.Go(func() {
			for ctx.Err() == nil {
				s, err := c.Status(ctx)
				if ctx.Err() == nil {
					w.is(name, err != nil || s.Image.State == node.StateTrial || !s.Services["bigcouch"].Healthy)
				}
			}
		})
	}
	w.running.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			begin := time.Now()
			if db.write(ctx, n) == nil {
				w.mu.Lock()
				w.writes, w.slowest = n+1, max(w.slowest, time.Since(begin))
				w.mu.Unlock()
			}
		}
	})
	t.Cleanup(w.end)
	return w
}

// is notes whether a node is away.
func (w *watcher) is(name string, away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away[name] = away
	n := 0
	for _, is := range w.away {
		if is {
			n++
		}
	}
	w.most = max(w.most, n)
}

func (w *watcher) end() {
	w.stop()
	w.running.Wait()
}
