package stores_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// api is what services/couch asks for: resources that Apache CouchDB has from
// 3.3 on, with their parameters. It is kept short on purpose.
var api = map[string]string{
	"GET /_up":              "",
	"GET /":                 "", // Of a server without _up.
	"GET /_all_dbs":         "",
	"PUT /db":               "",
	"GET /db":               "",
	"DELETE /db":            "",
	"GET /db/_security":     "",
	"PUT /db/_security":     "",
	"GET /db/_index":        "",
	"POST /db/_index":       "",
	"POST /db/_find":        "",
	"GET /db/_all_docs":     "descending endkey include_docs limit startkey",
	"POST /db/_all_docs":    "include_docs",
	"POST /db/_bulk_docs":   "",
	"POST /db/_changes":     "feed filter heartbeat limit since timeout",
	"GET /db/_local/id":     "conflicts r",
	"PUT /db/_local/id":     "",
	"GET /db/id":            "conflicts r rev",
	"PUT /db/id":            "",
	"DELETE /db/id":         "rev",
	"GET /db/id/attachment": "",
	"PUT /db/id/attachment": "rev",
}

// A recorder notes what is asked for.
type recorder struct {
	mu   sync.Mutex
	seen map[string]map[string]bool // By the resource, the parameters.
}

func (r *recorder) note(req *http.Request) {
	path := strings.Split(strings.TrimPrefix(req.URL.EscapedPath(), "/"), "/")
	shape := req.Method + " /"
	switch {
	case len(path) == 1 && (path[0] == "" || strings.HasPrefix(path[0], "_")):
		shape += path[0]
	case len(path) == 1:
		shape += "db"
	case strings.HasPrefix(path[1], "_local"), strings.HasPrefix(path[1], "_design"):
		shape += "db/" + path[1] + "/id"
	case strings.HasPrefix(path[1], "_"):
		shape += "db/" + strings.Join(path[1:], "/")
	case len(path) == 2:
		shape += "db/id"
	default:
		shape += "db/id/attachment"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[shape] == nil {
		r.seen[shape] = map[string]bool{}
	}
	for name := range req.URL.Query() {
		r.seen[shape][name] = true
	}
}

// judge compares what was asked for with what may be.
func (r *recorder) judge(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for shape, params := range r.seen {
		allowed, ok := api[shape]
		if !ok {
			t.Errorf("%s with %v is not in the list", shape, slices.Sorted(maps.Keys(params)))
		}
		for p := range params {
			if ok && !slices.Contains(strings.Fields(allowed), p) {
				t.Errorf("%s: the parameter %s is not in the list", shape, p)
			}
		}
	}
	for shape := range api {
		if r.seen[shape] == nil && shape != "GET /" {
			t.Errorf("%s is in the list, and is not asked for", shape)
		}
	}
}
