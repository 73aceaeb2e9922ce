package bigcouch_test

import (
	"encoding/json"
	"fmt"
	"net/url"
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
	path := "/" + url.PathEscape(id)
	path = strings.ReplaceAll(path, "+", "%2B")
	if rev := w.rev(id); rev != "" {
		path += "?rev=" + rev
	}
	w.took(id, w.both("PUT", path, w.body())[0])
}

func (w *twin) remove(*rapid.T) {
	id := w.id()
	path := strings.ReplaceAll("/"+url.PathEscape(id), "+", "%2B")
	w.took(id, w.both("DELETE", path+"?rev="+w.rev(id), "")[0])
}

func (w *twin) get(*rapid.T) {
	path := strings.ReplaceAll("/"+url.PathEscape(w.id()), "+", "%2B")
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

func (w *twin) copy(*rapid.T) {
	from, to := w.id(), w.id()
	target := strings.ReplaceAll(url.PathEscape(to), "+", "%2B")
	if rev := w.rev(to); rev != "" {
		target += "?rev=" + rev
	}
	w.took(to, w.both("COPY", strings.ReplaceAll("/"+url.PathEscape(from), "+", "%2B"), "", "Destination: "+target)[0])
}

func (w *twin) ask(*rapid.T) {
	ids := []string{w.id(), w.id(), w.id(), w.id()}
	keys, err := json.Marshal(ids)
	if err != nil {
		panic(err)
	}
	switch rapid.IntRange(0, 5).Draw(w.t, "what") {
	case 0:
		w.both("POST", "/_all_docs?"+w.window(), `{"keys":`+string(keys)+`}`)
	case 1:
		w.both("POST", "/_bulk_get?revs=true", fmt.Sprintf(`{"docs":[{"id":%q},{"id":%q,"rev":"1-%032x"},{},{"id":%q}]}`, ids[0], ids[1], 1, ids[2]))
	case 2:
		w.both("POST", "/_revs_diff", fmt.Sprintf(`{%q:["1-%032x","2-%032x"],%q:["3-%032x"]}`, ids[0], 1, 2, ids[1]+"x", 1))
	case 3:
		w.both("POST", "/_missing_revs", fmt.Sprintf(`{%q:["1-%032x","2-%032x"]}`, ids[0], 1, 2))
	case 4:
		w.both("POST", "/_all_docs/queries", fmt.Sprintf(`{"queries":[{"keys":%s},{"limit":3,"skip":1},{"startkey":%q}]}`, keys, ids[0]))
	case 5:
		id := ids[0]
		w.both("POST", "/_purge", fmt.Sprintf(`{%q:[%q],%q:["1-%032x"]}`, id, w.revs[id]+"0"[:0]+orSome(w.revs[id]), ids[1]+"y", 1))
	}
}

func orSome(rev string) string {
	if rev == "" {
		return "1-0"
	}
	return ""
}

// window draws parameters of a range.
func (w *twin) window() string {
	v := url.Values{}
	if rapid.Bool().Draw(w.t, "limited") {
		v.Set("limit", fmt.Sprint(rapid.IntRange(0, 6).Draw(w.t, "limit")))
	}
	if rapid.Bool().Draw(w.t, "skips") {
		v.Set("skip", fmt.Sprint(rapid.IntRange(0, 4).Draw(w.t, "skip")))
	}
	for _, flag := range []string{"descending", "include_docs", "conflicts"} {
		if rapid.IntRange(0, 2).Draw(w.t, flag) == 0 {
			v.Set(flag, "true")
		}
	}
	return v.Encode()
}

func (w *twin) list(*rapid.T) {
	name := rapid.SampledFrom([]string{"_all_docs", "_all_docs", "_design_docs", "_local_docs"}).Draw(w.t, "list")
	query := w.window()
	for _, bound := range []string{"startkey", "endkey", "key"} {
		if rapid.IntRange(0, 3).Draw(w.t, bound) == 0 {
			data, err := json.Marshal(w.id())
			if err != nil {
				panic(err)
			}
			query += "&" + bound + "=" + url.QueryEscape(string(data))
		}
	}
	if rapid.IntRange(0, 3).Draw(w.t, "inclusive") == 0 {
		query += "&inclusive_end=false"
	}
	w.both("GET", "/"+name+"?"+query, "")
}

func (w *twin) view(*rapid.T) {
	name := rapid.SampledFrom([]string{"by-n", "list", "sum", "stats", "distinct", "js", "link", "none"}).Draw(w.t, "view")
	v, err := url.ParseQuery(w.window())
	if err != nil {
		panic(err)
	}
	reduced := name == "sum" || name == "stats" || name == "distinct" || name == "js"
	if reduced {
		v.Del("include_docs")
		v.Del("conflicts")
		switch rapid.IntRange(0, 3).Draw(w.t, "group") {
		case 0:
			v.Set("group", "true")
		case 1:
			v.Set("group_level", "1")
		case 2:
			v.Set("reduce", "false")
		}
	}
	switch rapid.IntRange(0, 3).Draw(w.t, "range") {
	case 0:
		v.Set("startkey", "2")
		if v.Get("descending") == "" {
			v.Set("endkey", "4")
		}
	case 1:
		v.Set("keys", "[3,1,1,0]")
		if reduced && v.Get("reduce") == "" {
			v.Del("group_level")
			v.Set("group", "true")
		}
	}
	w.both("GET", "/_design/v/_view/"+name+"?"+v.Encode(), "")
}

func (w *twin) find(*rapid.T) {
	body := map[string]any{"selector": map[string]any{"n": map[string]any{"$gt": rapid.IntRange(-1, 4).Draw(w.t, "above")}}}
	if rapid.Bool().Draw(w.t, "by id") {
		body["selector"] = map[string]any{"_id": map[string]any{"$gt": w.id()}}
	} else if rapid.Bool().Draw(w.t, "sorted") {
		body["sort"] = []map[string]string{{"n": rapid.SampledFrom([]string{"asc", "desc"}).Draw(w.t, "direction")}}
	}
	if rapid.Bool().Draw(w.t, "projected") {
		body["fields"] = []string{"_id", "n"}
	}
	limit := rapid.IntRange(0, 5).Draw(w.t, "limit")
	body["limit"], body["skip"] = limit, rapid.IntRange(0, 3).Draw(w.t, "skip")
	for range 4 { // Pages.
		data, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		got := w.both("POST", "/_find", string(data))
		var page struct {
			Docs     []json.RawMessage
			Bookmark string
		}
		if json.Unmarshal([]byte(got[1].body), &page) != nil || len(page.Docs) == 0 {
			return
		}
		body["bookmark"], body["skip"] = page.Bookmark, 0
		var other struct{ Bookmark string }
		if json.Unmarshal([]byte(got[0].body), &other) != nil || len(page.Docs) == limit && other.Bookmark != page.Bookmark {
			w.t.Fatalf("bookmarks differ: %s %s", other.Bookmark, page.Bookmark)
		}
	}
}

// follow reads all changes in pages, and wants each document once.
func (w *twin) follow(*rapid.T) {
	how := rapid.SampledFrom([]string{"", "&style=all_docs", "&include_docs=true", "&filter=_design", "&filter=v/even", "&filter=_view&view=v/by-n"}).Draw(w.t, "how")
	w.both("GET", "/_changes?"+how, "")
	w.both("GET", "/_changes?descending=true"+how, "")
	w.both("POST", "/_changes?filter=_doc_ids", `{"doc_ids":["a","c","e"]}`)
	limit := rapid.IntRange(1, 4).Draw(w.t, "page")
	var ids [2][]string
	n := w.nodes[rapid.IntRange(0, len(w.nodes)-1).Draw(w.t, "node")]
	for i, db := range w.dbs {
		since := "0"
		for {
			var page struct {
				Results []struct{ ID, Seq string }
				Last    string `json:"last_seq"`
				Pending int
			}
			a := n.do("admin", "GET", fmt.Sprintf("%s/_changes?limit=%d&since=%s%s", db, limit, since, how), "", "X-Leap-Fresh: true")
			if err := json.Unmarshal([]byte(a.body), &page); err != nil {
				w.t.Fatalf("%s: %v", a.body, err)
			}
			for _, r := range page.Results {
				ids[i] = append(ids[i], r.ID)
			}
			if len(page.Results) == 0 {
				break
			}
			since = page.Last
			if rapid.Bool().Draw(w.t, "by row") {
				since = page.Results[len(page.Results)-1].Seq
			}
		}
		slices.Sort(ids[i])
	}
	if fmt.Sprint(ids[0]) != fmt.Sprint(ids[1]) {
		w.t.Fatalf("changes in pages%s\n one %q\nmany %q", how, ids[0], ids[1])
	}
}

func (w *twin) tell(*rapid.T) {
	w.both("GET", "/_index", "")
	w.both("GET", "/_revs_limit", "")
	w.both("GET", "/_security", "")
	var got [2]map[string]json.RawMessage
	for i, db := range w.dbs {
		a := w.nodes[0].do("admin", "GET", db, "", "X-Leap-Fresh: true")
		if err := json.Unmarshal([]byte(a.body), &got[i]); err != nil {
			w.t.Fatalf("%s: %v", a.body, err)
		}
	}
	for _, name := range []string{"doc_count", "doc_del_count"} {
		if string(got[0][name]) != string(got[1][name]) {
			w.t.Fatalf("%s: %s and %s", name, got[0][name], got[1][name])
		}
	}
}

// design changes design documents.
func (w *twin) design(*rapid.T) {
	switch rapid.IntRange(0, 3).Draw(w.t, "design") {
	case 0:
		w.both("POST", "/_index", `{"index":{"fields":["n"]},"ddoc":"i","name":"n"}`)
	case 1:
		w.both("DELETE", "/_index/i/json/n", "")
	case 2:
		w.took("_design/w", w.both("PUT", "/_design/w"+orRev(w.revs["_design/w"]), `{"validate_doc_update":"function (doc) { if (doc.n === 3) throw {forbidden: 'three'} }"}`)[0])
	case 3:
		w.took("_design/w", w.both("DELETE", "/_design/w"+orRev(w.revs["_design/w"]), "")[0])
	}
}

func orRev(rev string) string {
	if rev == "" {
		return ""
	}
	return "?rev=" + rev
}

const spreadDesigns = `{"filters":{"even":"function (doc) { return doc.n % 2 === 0 }"},"views":{
	"by-n":{"map":"function (doc) { emit(doc.n, null) }"},
	"list":{"map":"function (doc) { if (doc.list) doc.list.forEach(function (k) { emit(k, doc.n) }) }"},
	"sum":{"map":"function (doc) { if (doc.n !== undefined) emit(doc.n, doc.n) }","reduce":"_sum"},
	"stats":{"map":"function (doc) { if (doc.n !== undefined) emit([doc.n, doc._id], doc.n) }","reduce":"_stats"},
	"distinct":{"map":"function (doc) { if (doc.list) doc.list.forEach(function (k) { emit(k, 1) }) }","reduce":"_approx_count_distinct"},
	"js":{"map":"function (doc) { if (doc.n !== undefined) emit(doc.n, 1) }","reduce":"function (keys, values) { return sum(values) }"},
	"link":{"map":"function (doc) { if (doc.link) emit(doc.n, {_id: doc.link}) }"}}}`

// play plays random histories.
func play(t *testing.T, nodes ...*node) {
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
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
	})
}

func TestSpreadModel(t *testing.T) {
	t.Parallel()
	play(t, start(t, t.TempDir()))
}

// The parts of a database are on nodes that have no other: whichever node is
// asked, most of the answer comes from elsewhere.
func TestSpreadModelCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, "a", "b", "c")
	c.start(c.names...)
	c.ready(c.names...)
	play(t, c.nodes["a"], c.nodes["b"], c.nodes["c"])
}
