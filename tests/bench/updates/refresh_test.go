package updates_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// described is a full release of that version.
func described(b *testing.B, version string) (path string, custom []byte) {
	d := target.Description{
		Schema: target.Schema, Release: version, Variant: target.Node, Version: version, Arch: "amd64",
		State: target.Range{Oldest: 1, Newest: 1}, Documents: target.Range{Oldest: 1, Newest: 1}, LeastRAM: 512,
	}
	text, err := d.Encode()
	must(b, err)
	return d.Path(), text
}

// A wire counts what goes over connections, both ways.
type wire struct {
	net.Conn
	n *atomic.Int64
}

func (w wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.n.Add(int64(n))
	return n, err
}

func (w wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.n.Add(int64(n))
	return n, err
}

// refresh asks for news when there are none.
func refresh(b *testing.B) {
	b.Run("client", func(b *testing.B) { noNews(b, "vendor") })
	b.Run("node", func(b *testing.B) { noNews(b, "vendor", "director") })
}

// noNews asks each of these repositories, over HTTP, and looks which release of the
// vendor's plan has its turn: none, the newest runs. Counted are requests and the bytes
// on the wire, with the heads of requests and answers: of the repository that costs
// more, and of all.
func noNews(b *testing.B, names ...string) {
	path, custom := described(b, "1.0.0")
	var asked []*tuftest.Mirror
	bytes := make([]atomic.Int64, len(names))
	cfg := tufclient.Config{Dir: b.TempDir()}
	for k, name := range names {
		repo := tuftest.New(b, time.Now())
		repo.Add("release", path, []byte("a release"), custom)
		repo.Next("release")
		if name == "vendor" {
			planned(b, repo)
		}
		repo.Publish()
		mirror := repo.Mirror()
		server := httptest.NewServer(mirror)
		defer server.Close()
		dialer := &net.Dialer{}
		source, err := tufclient.NewHTTP(server.URL+"/repo", &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			return wire{conn, &bytes[k]}, err
		}})
		must(b, err)
		defer source.Close()
		asked = append(asked, mirror)
		cfg.Repositories = append(cfg.Repositories, tufclient.Repository{Name: name, Root: repo.RootFile(1), Sources: []tufclient.Source{source}})
	}
	c, err := tufclient.Open(cfg)
	must(b, err)
	check := func() {
		v, err := c.Check(b.Context())
		must(b, err)
		_, err = v.Offer(b.Context(), target.Machine{Variant: target.Node, Arch: "amd64", Version: "1.0.0", State: 1, Document: 1}, func(string) int { return 0 })
		if !errors.Is(err, tufclient.ErrNothing) {
			b.Fatalf("there is news, or an error: %v", err)
		}
	}
	check()
	for k, m := range asked {
		m.Asked()
		bytes[k].Store(0)
	}
	b.ResetTimer()
	for range b.N {
		check()
	}
	var most, all [2]float64
	for k, m := range asked {
		list, _ := m.Asked()
		for n, v := range []int64{int64(len(list)), bytes[k].Load()} {
			each := float64(v) / float64(b.N)
			most[n], all[n] = max(most[n], each), all[n]+each
		}
	}
	for n, unit := range []string{"requests", "B-wire"} {
		b.ReportMetric(most[n], unit)
		b.ReportMetric(all[n], unit+"-in-all")
	}
}

// planned has a repository list a plan, as the vendor's does.
func planned(b *testing.B, repo *tuftest.Repo) {
	r := target.Rollout{Release: "1.0.0", Begins: time.Now().Add(-time.Hour).UTC(), Waves: []target.Wave{{Percent: 1}, {After: target.Duration(time.Hour), Percent: 100}}}
	text, err := target.Plan{Schema: target.Schema, Rollouts: []target.Rollout{r}}.Encode()
	must(b, err)
	repo.DelegatePlans()
	repo.Add("rollout", target.PlanPath, text, nil)
	repo.Next("targets", "rollout")
}
