package bigcouch_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A twin is two databases with the same history, of one part and of several. It
// is asked through any of its nodes.
type twin struct {
	t     *rapid.T
	nodes []*node
	dbs   [2]string
	revs  map[string]string // Winners, as far as the history knows.
}

var (
	sequences = regexp.MustCompile(`"(seq|last_seq|update_seq|purge_seq|instance_start_time)":"[^"]*"`)
	marked    = regexp.MustCompile(`"bookmark":"[^"]*"`)
)

// comparable returns an answer without what may differ.
func comparable(db string, a answer) string {
	body := sequences.ReplaceAllString(a.body, `"$1":"s"`)
	body = marked.ReplaceAllString(body, `"bookmark":"b"`)
	return fmt.Sprint(a.status, " ", a.header.Get("ETag"), " ", strings.ReplaceAll(a.header.Get("Location"), db, "/db"), " ", strings.ReplaceAll(body, db[1:], "db"))
}

// both sends a request to both and wants the same answers. It returns them.
func (w *twin) both(method, path, body string, headers ...string) [2]answer {
	n := w.nodes[rapid.IntRange(0, len(w.nodes)-1).Draw(w.t, "node")]
	var got [2]answer
	for i, db := range w.dbs {
		got[i] = n.do("admin", method, db+path, body, append(headers, "X-Leap-Fresh: true")...)
	}
	a, b := comparable(w.dbs[0], got[0]), comparable(w.dbs[1], got[1])
	if strings.HasPrefix(path, "/_changes") {
		a, b = sorted(a), sorted(b)
	}
	if a != b {
		w.t.Fatalf("%s %s %s\n one %s\nmany %s", method, path, body, a, b)
	}
	return got
}

// sorted sorts lines: the order of changes of different documents is no matter.
func sorted(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "},\n", "}\n"), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (w *twin) id() string {
	return rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "ä/ö", "z z", "+", "%2F", "k1", "k2", "k3"}).Draw(w.t, "id")
}

// pathOf returns the path of a document; a plus would be a space.
func pathOf(id string) string { return strings.ReplaceAll("/"+url.PathEscape(id), "+", "%2B") }

// rev returns the present revision, none, or a wrong one.
func (w *twin) rev(id string) string {
	switch rapid.IntRange(0, 9).Draw(w.t, "which") {
	case 0:
		return "1-00112233445566778899aabbccddeeff"
	case 1:
		return ""
	}
	return w.revs[id]
}

func (w *twin) took(id string, a answer) {
	var v struct{ Rev string }
	if a.status < 300 && json.Unmarshal([]byte(a.body), &v) == nil {
		w.revs[id] = v.Rev
	}
}

func (w *twin) body() string {
	n := rapid.IntRange(0, 5).Draw(w.t, "n")
	body := map[string]any{"n": n, "list": []int{n, n % 2}}
	if rapid.Bool().Draw(w.t, "linked") {
		body["link"] = w.id()
	}
	if rapid.IntRange(0, 4).Draw(w.t, "attached") == 0 {
		body["_attachments"] = map[string]any{"x": map[string]string{"content_type": "text/plain", "data": "aGFsbG8="}}
	}
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func (w *twin) put(*rapid.T) {
	id := w.id()
	path := pathOf(id)
	if rev := w.rev(id); rev != "" {
		path += "?rev=" + rev
	}
	w.took(id, w.both("PUT", path, w.body())[0])
}

func (w *twin) remove(*rapid.T) {
	id := w.id()
	path := pathOf(id)
	w.took(id, w.both("DELETE", path+"?rev="+w.rev(id), "")[0])
}

func (w *twin) get(*rapid.T) {
	path := pathOf(w.id())
	path += rapid.SampledFrom([]string{"", "?conflicts=true", "?revs=true", "?attachments=true", "?open_revs=all", "/x", "?rev=1-x"}).Draw(w.t, "how")
	w.both(rapid.SampledFrom([]string{"GET", "HEAD"}).Draw(w.t, "method"), path, "")
}

func (w *twin) local(*rapid.T) {
	id := rapid.SampledFrom([]string{"_local/a", "_local/b", "_local/c"}).Draw(w.t, "local")
	switch rapid.IntRange(0, 2).Draw(w.t, "op") {
	case 0:
		w.both("PUT", "/"+id, `{"l":1}`)
	case 1:
		w.both("GET", "/"+id, "")
	case 2:
		w.both("DELETE", "/"+id, "")
	}
}

func (w *twin) bulk(*rapid.T) {
	var docs []map[string]any
	replicated := rapid.IntRange(0, 2).Draw(w.t, "replicated") == 0
	for range rapid.IntRange(0, 6).Draw(w.t, "docs") {
		id := w.id()
		doc := map[string]any{"_id": id, "n": rapid.IntRange(0, 5).Draw(w.t, "n")}
		if replicated {
			doc["_rev"] = fmt.Sprintf("%d-%032x", rapid.IntRange(1, 3).Draw(w.t, "gen"), rapid.IntRange(0, 3).Draw(w.t, "hash"))
		} else if rev := w.rev(id); rev != "" {
			doc["_rev"] = rev
		}
		if rapid.IntRange(0, 5).Draw(w.t, "deleted") == 0 {
			doc["_deleted"] = true
		}
		docs = append(docs, doc)
	}
	if docs == nil {
		docs = []map[string]any{}
	}
	body, err := json.Marshal(map[string]any{"docs": docs, "new_edits": !replicated})
	if err != nil {
		panic(err)
	}
	var rows []struct{ ID, Rev string }
	if a := w.both("POST", "/_bulk_docs", string(body))[0]; a.status == 201 && json.Unmarshal([]byte(a.body), &rows) == nil {
		for _, r := range rows {
			if r.Rev != "" {
				w.revs[r.ID] = r.Rev
			}
		}
	}
}

// play plays random histories.
func play(t *testing.T, most int, nodes ...*node) {
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		if runs++; runs > most && os.Getenv("LEAP_COUCH_LONG") == "" {
			return // The long form plays as many as rapid is told to.
		}
		w := &twin{t: t, nodes: nodes, dbs: [2]string{fmt.Sprintf("/one%d", runs), fmt.Sprintf("/many%d", runs)}, revs: map[string]string{}}
		nodes[0].admin(201, "PUT", w.dbs[0], "")
		nodes[0].admin(201, "PUT", w.dbs[1]+"?q=4", "")
		defer nodes[0].admin(200, "DELETE", w.dbs[0], "")
		defer nodes[0].admin(200, "DELETE", w.dbs[1], "")
		w.both("PUT", "/_design/v", spreadDesigns)
		t.Repeat(map[string]func(*rapid.T){
			"put": w.put, "put again": w.put, "remove": w.remove, "get": w.get, "local": w.local, "bulk": w.bulk, "copy": w.copy,
			"ask": w.ask, "list": w.list, "view": w.view, "find": w.find, "follow": w.follow, "tell": w.tell, "design": w.design,
		})
		for _, path := range []string{
			"/_all_docs?include_docs=true&conflicts=true", "/_local_docs?include_docs=true", "/_changes?style=all_docs",
			"/_design/v/_view/link?include_docs=true", "/_design/v/_view/js?group=true", "/_design/v/_view/distinct?keys=[2,0,0]&group=true",
		} {
			w.both("GET", path, "")
		}
	})
}

func TestSpreadModel(t *testing.T) {
	t.Parallel()
	play(t, 25, start(t, t.TempDir()))
}

// The parts of a database are on nodes that have no other: whichever node is
// asked, most of the answer comes from elsewhere.
func TestSpreadModelCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, "a", "b", "c")
	c.start(c.names...)
	c.ready(c.names...)
	play(t, 8, c.nodes["a"], c.nodes["b"], c.nodes["c"])
}
