package updates_test

import (
	"context"
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

// refresh asks for news when there are none, over HTTP, with the heads of requests
// and answers.
func refresh(b *testing.B) {
	repo := tuftest.New(b, time.Now())
	path, custom := described(b, "1.0.0")
	repo.Add("release", path, []byte("a release"), custom)
	repo.Next("release")
	repo.Publish()
	mirror := repo.Mirror()
	server := httptest.NewServer(mirror)
	defer server.Close()
	var bytes atomic.Int64
	dialer := &net.Dialer{}
	source, err := tufclient.NewHTTP(server.URL+"/repo", &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		return wire{conn, &bytes}, err
	}})
	must(b, err)
	defer source.Close()
	c, err := tufclient.Open(tufclient.Config{Repositories: []tufclient.Repository{{Name: "vendor", Root: repo.RootFile(1), Sources: []tufclient.Source{source}}}, Dir: b.TempDir()})
	must(b, err)
	check := func() {
		v, err := c.Check(b.Context())
		must(b, err)
		// What runs is the newest: the answer is that there is nothing.
		_, err = v.Newest(b.Context(), target.Machine{Variant: target.Node, Arch: "amd64", Version: "1.0.0", State: 1, Document: 1})
		if err == nil {
			b.Fatal("there is news")
		}
	}
	check()
	mirror.Asked()
	bytes.Store(0)
	b.ResetTimer()
	for range b.N {
		check()
	}
	asked, _ := mirror.Asked()
	b.ReportMetric(float64(len(asked))/float64(b.N), "requests")
	b.ReportMetric(float64(bytes.Load())/float64(b.N), "B-wire")
}
