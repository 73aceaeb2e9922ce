package bigcouch_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"leap.example/services/bigcouch"
)

func (n *node) overview() (o bigcouch.Overview) {
	n.t.Helper()
	if err := json.Unmarshal([]byte(n.admin(200, "GET", "/_node/_local/_overview", "").body), &o); err != nil {
		n.t.Fatal(err)
	}
	return o
}

func TestStatusPage(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(200, "POST", "/_node/_local/_digest", `{}`)
	n.admin(201, "POST", "/_node/_local/_checkpoint", `{}`)
	o := n.overview()
	if o.Databases != 1 || len(o.Shards) != 9 || o.Shards[0].Digest == "" || o.FreeBytes == 0 || len(o.Problems) > 0 || len(o.Checkpoints) != 1 {
		t.Errorf("overview: %+v", o)
	}
	page := n.admin(200, "GET", "/_node/_local/_page", "")
	for header, want := range map[string]string{
		"Content-Type": "text/html", "Content-Security-Policy": "default-src 'none'; style-src 'sha256-", "Cache-Control": "no-store",
	} {
		if got := page.header.Get(header); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q", header, got)
		}
	}
	for _, want := range []string{"All is well", "<dd>1</dd>", o.Checkpoints[0], o.Shards[0].Digest[:8], `lang="en"`, "by itself"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	if bad := regexp.MustCompile(`(?i)<script|javascript:|\son[a-z]+=|https?://|\sstyle=|ZgotmplZ`).FindString(page.body); bad != "" {
		t.Errorf("the page has %q", bad)
	}
	for _, who := range []string{"", "webapp"} {
		got := n.do(who, "GET", "/_node/_local/_page", "")
		if got.status != http.StatusUnauthorized || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%q: %d %v", who, got.status, got.header)
		}
		if got := n.do(who, "GET", "/_node/_local/_overview", ""); got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") != "" {
			t.Errorf("%q: %d %v", who, got.status, got.header)
		}
	}
	n.admin(405, "POST", "/_node/_local/_page", `{}`)
}

// With one node of three the page says what does not go on.
func TestStatusPageOfCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "a", "b", "c")
	c.start(c.names...)
	c.ready(c.names...)
	a := c.nodes["a"]
	poll(t, func() bool { o := a.overview(); return len(o.Problems) == 0 && len(o.Shards[5].Voters) == 3 })
	page := a.admin(200, "GET", "/_node/_local/_page", "").body
	if !strings.Contains(page, "All is well") || !strings.Contains(page, "Nodes: a, b, c.") {
		t.Errorf("page: %s", page)
	}
	for _, name := range []string{"b", "c"} {
		if err := c.nodes[name].stop(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%+v", a.overview())
		}
	})
	poll(t, func() bool {
		return strings.Contains(a.admin(200, "GET", "/_node/_local/_page", "").body, "Shards 0, 1, 2, 3, 4, 5, 6, 7, 8: no leader")
	})
}
