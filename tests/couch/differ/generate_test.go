package differ_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"leap.example/tests/couch/differ"
)

// ids are few, so that requests meet. Those that begin with p are pushed with
// revisions of our own, and have conflicts.
var (
	ids     = []string{"a", "b", "c"}
	pushIDs = []string{"p1", "p2"}
	allIDs  = append(append([]string{"none"}, ids...), pushIDs...)
)

func pick[T any](t *rapid.T, what string, from ...T) T { return rapid.SampledFrom(from).Draw(t, what) }

// maybe is v or nothing.
func maybe(t *rapid.T, what, v string) string { return pick(t, what, "", "", v) }

func id(t *rapid.T) string { return pick(t, "id", ids...) }

func anyID(t *rapid.T) string { return pick(t, "any id", allIDs...) }

// rev is a revision of a document, as a rule the present one.
func rev(t *rapid.T, id string) string {
	return pick(t, "rev", "<cur "+id+">", "<cur "+id+">", "<cur "+id+">", "<old "+id+">", "")
}

// fields are the members of a document. One of them makes it like no other
// document, since documents that are alike have the same revision on one of the
// servers and not on the other.
func fields(t *rapid.T, id string) map[string]any {
	doc := map[string]any{"own": id}
	if n := rapid.IntRange(-1, 6).Draw(t, "n"); n >= 0 {
		doc["n"] = n
	}
	if s := pick(t, "s", "", "x", "y", "zz"); s != "" {
		doc["s"] = s
	}
	switch pick(t, "more", 0, 1, 2, 3, 4, 5) {
	case 0:
		doc["list"] = []any{1, "two", nil, 0.5}
	case 1:
		doc["deep"] = map[string]any{"er": map[string]any{"n": rapid.IntRange(0, 3).Draw(t, "deep")}, "t": true}
	case 2:
		doc["text"] = "<é> \u2028 \U0001F600 \"quoted\" \\"
	}
	return doc
}

// document is one with its id and, as a rule, the revision that it needs.
func document(t *rapid.T, id string) map[string]any {
	doc := fields(t, id)
	doc["_id"] = id
	if r := rev(t, id); r != "" {
		doc["_rev"] = r
		if pick(t, "deleted", 0, 0, 0, 0, 1) == 1 {
			doc["_deleted"] = true
		}
	}
	return doc
}

// documents are generators of requests about documents, by their kinds.
var documents = map[string]func(t *rapid.T) differ.Request{
	"put": func(t *rapid.T) differ.Request {
		id := id(t)
		doc := document(t, id)
		path := "/" + id
		if r, ok := doc["_rev"].(string); ok && pick(t, "rev in the query", false, false, true) {
			delete(doc, "_rev")
			path = differ.Query(path, "rev", r)
		}
		return differ.Request{Method: http.MethodPut, Path: path, Body: differ.Object(doc)}
	},
	"create": func(t *rapid.T) differ.Request {
		id := id(t)
		return differ.Request{Method: http.MethodPut, Path: "/" + id, Body: differ.Object(fields(t, id))}
	},
	"update": func(t *rapid.T) differ.Request {
		id := pick(t, "id", slices.Concat(pushIDs, pushIDs, ids)...)
		return differ.Request{Method: http.MethodPut, Path: "/" + id + "?rev=<cur " + id + ">", Body: differ.Object(fields(t, id))}
	},
	"malformed": func(t *rapid.T) differ.Request {
		id := id(t)
		return pick(t, "malformed",
			differ.Request{Method: http.MethodPut, Path: "/" + id, Body: `{"a":`},
			differ.Request{Method: http.MethodPut, Path: "/" + id, Body: `[]`},
			differ.Request{Method: http.MethodPut, Path: "/" + id, Body: `{"_unknown":1}`},
			differ.Request{Method: http.MethodPut, Path: "/" + id, Body: `{"_rev":"nonsense"}`},
			differ.Request{Method: http.MethodPut, Path: "/_unknown", Body: `{}`},
			differ.Request{Method: http.MethodGet, Path: "/" + id + "?rev=nonsense"},
			differ.Request{Method: http.MethodPost, Path: "/_bulk_docs", Body: `{}`},
			differ.Request{Method: http.MethodPost, Path: "/_find", Body: `{}`},
		)
	},
	"delete": func(t *rapid.T) differ.Request {
		id := pick(t, "id", allIDs...)
		return differ.Request{Method: http.MethodDelete, Path: differ.Query("/"+id, "rev", rev(t, id))}
	},
	"over tombstone": func(t *rapid.T) differ.Request {
		id := id(t)
		return differ.Request{Method: http.MethodPut, Path: "/" + id + "?rev=<last " + id + ">", Body: differ.Object(fields(t, id))}
	},
	"wrong rev": func(t *rapid.T) differ.Request {
		id := id(t)
		return differ.Request{Method: http.MethodPut, Path: "/" + id + "?rev=9-" + hash('f', 9, 9), Body: differ.Object(fields(t, id))}
	},
	"get": func(t *rapid.T) differ.Request {
		id := anyID(t)
		r := ""
		if pick(t, "of a revision", false, false, true) {
			r = "<cur " + id + ">"
		}
		return differ.Request{Method: http.MethodGet, Path: differ.Query("/"+id, "rev", r,
			"revs", maybe(t, "revs", "true"), "conflicts", maybe(t, "conflicts", "true"),
			"deleted_conflicts", maybe(t, "deleted_conflicts", "true"),
			"attachments", maybe(t, "attachments", "true"))}
	},
	"get conflicts": func(t *rapid.T) differ.Request {
		return differ.Request{Method: http.MethodGet, Path: "/" + pick(t, "id", pushIDs...) + "?conflicts=true&deleted_conflicts=true"}
	},
	"old revision": func(t *rapid.T) differ.Request {
		id := id(t)
		return pick(t, "old",
			differ.Request{Method: http.MethodGet, Path: "/" + id + "?rev=<old " + id + ">"},
			differ.Request{Method: http.MethodGet, Path: "/" + id + "?open_revs=%5B%22<old " + id + ">%22%5D"},
			differ.Request{Method: http.MethodGet, Path: "/" + id + "?revs_info=true"},
		)
	},
	"open_revs": func(t *rapid.T) differ.Request {
		id := anyID(t)
		list := "all"
		if pick(t, "all", false, true) {
			list = "%5B%22<cur " + id + ">%22%2C%22" + "9-" + hash('f', 9, 9) + "%22%5D"
		}
		return differ.Request{Method: http.MethodGet, Path: "/" + id + "?open_revs=" + list + pick(t, "revs", "", "&revs=true")}
	},
	"head": func(t *rapid.T) differ.Request {
		return differ.Request{Method: http.MethodHead, Path: "/" + anyID(t)}
	},
	"post": func(t *rapid.T) differ.Request {
		return differ.Request{Method: http.MethodPost, Path: "", Body: differ.Object(document(t, id(t)))}
	},
	"bulk": func(t *rapid.T) differ.Request {
		docs := []any{}
		for _, id := range slices.Sorted(slices.Values(rapid.SliceOfNDistinct(rapid.SampledFrom(ids), 0, 3, rapid.ID).Draw(t, "ids"))) {
			docs = append(docs, document(t, id))
		}
		return differ.Request{Method: http.MethodPost, Path: "/_bulk_docs", Body: differ.Object(map[string]any{"docs": docs})}
	},
	"push": func(t *rapid.T) differ.Request {
		id := pick(t, "id", pushIDs...)
		doc := fields(t, id)
		doc["_id"] = id
		generation := pick(t, "generation", 1, 1, 1, 2, 3)
		var hashes []string
		way := 0 // The branches that led to a revision: it has one history.
		for g := 1; g <= generation; g++ {
			branch := rapid.IntRange(0, 3).Draw(t, "branch")
			way = 10*way + branch
			hashes = slices.Insert(hashes, 0, hash(rune("00ff"[branch]), g, way))
		}
		doc["_rev"] = fmt.Sprintf("%d-%s", generation, hashes[0])
		doc["_revisions"] = map[string]any{"start": generation, "ids": hashes}
		if pick(t, "deleted", 0, 0, 0, 1) == 1 {
			doc["_deleted"] = true
		}
		return differ.Request{Method: http.MethodPost, Path: "/_bulk_docs", Body: differ.Object(map[string]any{"docs": []any{doc}, "new_edits": false})}
	},
	"all_docs": func(t *rapid.T) differ.Request {
		key := func(what string) string { return maybe(t, what, `"`+anyID(t)+`"`) }
		return differ.Request{Method: http.MethodGet, Path: differ.Query("/_all_docs", "startkey", key("startkey"), "endkey", key("endkey"),
			"include_docs", maybe(t, "include_docs", "true"), "conflicts", maybe(t, "conflicts", "true"), "descending", maybe(t, "descending", "true"),
			"inclusive_end", maybe(t, "inclusive_end", "false"), "limit", maybe(t, "limit", "2"), "skip", maybe(t, "skip", "1"))}
	},
	"all_docs keys": func(t *rapid.T) differ.Request {
		keys := rapid.SliceOfN(rapid.SampledFrom(allIDs), 0, 4).Draw(t, "keys")
		return differ.Request{
			Method: http.MethodPost, Path: differ.Query("/_all_docs", "include_docs", maybe(t, "include_docs", "true")),
			Body: differ.Object(map[string]any{"keys": keys}),
		}
	},
	"changes": func(t *rapid.T) differ.Request {
		return differ.Request{Method: http.MethodGet, Path: differ.Query("/_changes", "since", maybe(t, "since", "<since>"),
			"include_docs", maybe(t, "include_docs", "true"), "style", maybe(t, "style", "all_docs"), "conflicts", maybe(t, "conflicts", "true"),
			"descending", pick(t, "descending", "", "", "", "true"))}
	},
	"changes limited": func(t *rapid.T) differ.Request {
		return differ.Request{Method: http.MethodGet, Path: differ.Query("/_changes", "limit", pick(t, "limit", "1", "2", "9"))}
	},
	"changes of ids": func(t *rapid.T) differ.Request {
		list := rapid.SliceOfN(rapid.SampledFrom(allIDs), 1, 3).Draw(t, "doc_ids")
		return differ.Request{Method: http.MethodPost, Path: "/_changes?filter=_doc_ids", Body: differ.Object(map[string]any{"doc_ids": list})}
	},
	"revs_diff": func(t *rapid.T) differ.Request {
		ask := map[string]any{}
		for range rapid.IntRange(1, 3).Draw(t, "ids") {
			id := anyID(t)
			ask[id] = []any{"<cur " + id + ">", "2-" + hash('f', 2, 9), "9-" + hash('0', 9, 0)}
		}
		return differ.Request{Method: http.MethodPost, Path: "/_revs_diff", Body: differ.Object(ask)}
	},
	"bulk_get": func(t *rapid.T) differ.Request {
		var docs []any
		for _, id := range rapid.SliceOfNDistinct(rapid.SampledFrom(allIDs), 1, 3, rapid.ID).Draw(t, "ids") {
			doc := map[string]any{"id": id}
			if pick(t, "with rev", false, true) {
				doc["rev"] = "<cur " + id + ">"
			}
			docs = append(docs, doc)
		}
		return differ.Request{Method: http.MethodPost, Path: differ.Query("/_bulk_get", "revs", maybe(t, "revs", "true")), Body: differ.Object(map[string]any{"docs": docs})}
	},
	"local": func(t *rapid.T) differ.Request {
		path := "/_local/" + pick(t, "local id", "x", "y")
		return pick(t, "local",
			differ.Request{Method: http.MethodGet, Path: path},
			differ.Request{Method: http.MethodPut, Path: path, Body: `{"n":1}`},
			differ.Request{Method: http.MethodPut, Path: path, Body: `{"n":2,"_rev":"0-1"}`},
			differ.Request{Method: http.MethodDelete, Path: path + "?rev=0-1"},
		)
	},
	"attachment put": func(t *rapid.T) differ.Request {
		id := id(t)
		return differ.Request{
			Method: http.MethodPut, Path: differ.Query("/"+id+"/"+pick(t, "name", "att", "b%20c"), "rev", rev(t, id)),
			Body: strings.Repeat("attached to "+id, rapid.IntRange(0, 3).Draw(t, "length")), Type: pick(t, "type", "application/octet-stream", "image/png"),
		}
	},
	"attachment": func(t *rapid.T) differ.Request {
		id := id(t)
		path := "/" + id + "/" + pick(t, "name", "att", "b%20c", "none")
		if pick(t, "delete", false, false, true) {
			return differ.Request{Method: http.MethodDelete, Path: path + "?rev=<cur " + id + ">"}
		}
		return differ.Request{Method: http.MethodGet, Path: path}
	},
	"inline": func(t *rapid.T) differ.Request {
		id := id(t)
		doc := fields(t, id)
		doc["_attachments"] = map[string]any{"att": map[string]any{
			"content_type": "application/octet-stream", "data": base64.StdEncoding.EncodeToString([]byte(pick(t, "data", "one", "two", ""))),
		}}
		return differ.Request{Method: http.MethodPut, Path: "/" + id + "?rev=<cur " + id + ">", Body: differ.Object(doc)}
	},
	"info": func(*rapid.T) differ.Request { return differ.Request{Method: http.MethodGet} },
}

// weight is how often a kind is drawn: less often if a history may end with it,
// more often if others need what it makes.
func weight(kind string) int {
	switch kind {
	case "local", "wrong rev", "malformed":
		return 1
	case "push", "bulk", "delete", "over tombstone":
		return 8
	}
	return 4
}

// requests generates a request of one of the kinds.
func requests(of map[string]func(t *rapid.T) differ.Request) *rapid.Generator[differ.Request] {
	var names []string
	for _, kind := range slices.Sorted(maps.Keys(of)) {
		names = append(names, slices.Repeat([]string{kind}, weight(kind))...)
	}
	return rapid.Custom(func(t *rapid.T) differ.Request {
		kind := pick(t, "kind", names...)
		r := of[kind](t)
		r.Kind = kind
		return r
	})
}

// hash is the hash of a revision of our own.
func hash(side rune, generation, branch int) string {
	return fmt.Sprintf("%s%d%07d", strings.Repeat(string(side), 24), generation, branch)
}
