package bigcouch_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

func (w *twin) copy(*rapid.T) {
	from, to := w.id(), w.id()
	target := pathOf(to)[1:]
	if rev := w.rev(to); rev != "" {
		target += "?rev=" + rev
	}
	w.took(to, w.both("COPY", pathOf(from), "", "Destination: "+target)[0])
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
		w.both("POST", "/_purge", fmt.Sprintf(`{%q:[%q],%q:["1-%032x"]}`, id, cmp.Or(w.revs[id], "1-0"), ids[1]+"y", 1))
	}
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
	var query strings.Builder
	query.WriteString(w.window())
	for _, bound := range []string{"startkey", "endkey", "key"} {
		if rapid.IntRange(0, 3).Draw(w.t, bound) == 0 {
			data, err := json.Marshal(w.id())
			if err != nil {
				panic(err)
			}
			query.WriteString("&" + bound + "=" + url.QueryEscape(string(data)))
		}
	}
	if rapid.IntRange(0, 3).Draw(w.t, "inclusive") == 0 {
		query.WriteString("&inclusive_end=false")
	}
	w.both("GET", "/"+name+"?"+query.String(), "")
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
