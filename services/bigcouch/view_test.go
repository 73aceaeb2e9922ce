package bigcouch_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// ddoc writes a design document of views: name, map, reduce and so on.
func ddoc(views ...string) string {
	doc := map[string]map[string]string{}
	for i := 0; i < len(views); i += 3 {
		doc[views[i]] = map[string]string{"map": views[i+1]}
		if views[i+2] != "" {
			doc[views[i]]["reduce"] = views[i+2]
		}
	}
	data, err := json.Marshal(map[string]any{"views": doc})
	if err != nil {
		panic(err)
	}
	return string(data)
}

// viewRows writes the answer of a map.
func viewRows(total, offset int, rows ...string) string {
	return fmt.Sprintf(`{"total_rows":%d,"offset":%d,"rows":[`, total, offset) + lines(rows)
}

// reduced writes the answer of a reduce.
func reduced(rows ...string) string { return `{"rows":[` + lines(rows) }

func lines(rows []string) string {
	var b strings.Builder
	for i, r := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n" + r)
	}
	return b.String() + "\n]}"
}

func parseError(reason string) string {
	data, err := json.Marshal(map[string]string{"error": "query_parse_error", "reason": reason})
	if err != nil {
		panic(err)
	}
	return string(data)
}

func TestViews(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/db/_design/d", ddoc(
		"k", `function(doc) { if ("k" in doc) emit(doc.k, doc.v) }`, "",
		"sum", `function(doc) { if ("k" in doc) emit(doc.k, doc.v) }`, "_sum",
		"count", `function(doc) { if ("k" in doc) emit([doc.k, doc.v, 1], null) }`, "_count",
		"stats", `function(doc) { if (doc.v) emit(doc.k, doc.v) }`, "_stats",
		"distinct", `function(doc) { emit(doc.k, null) }`, "_approx_count_distinct",
		"script", `function(doc) { if ("k" in doc) emit(doc.k, doc.v) }`,
		`function(keys, values, rereduce) { if (rereduce) return sum(values); return values.length * 10 + (keys[0][1] ? 0 : 1000) }`,
		"link", `function(doc) { if (doc.to) emit(doc._id, {_id: doc.to}) }`, "",
		"throws", `function(doc) { if (doc.k == 2) throw "no"; emit(doc.k); if (doc.k == 3) doc.no.such }`, "",
	))
	for i, doc := range []string{`{"k":1,"v":10}`, `{"k":2,"v":20}`, `{"k":2,"v":21}`, `{"k":"a","v":1.5}`, `{"k":[1,"x"],"v":-1}`, `{"k":null,"v":0}`, `{"v":7,"to":"d0"}`, `{"k":3,"v":30,"to":"none"}`} {
		n.admin(201, "PUT", fmt.Sprintf("/db/d%d", i), doc)
	}
	const view = "/db/_design/d/_view/"
	row := func(id, key, value string) string {
		return fmt.Sprintf(`{"id":%q,"key":%s,"value":%s}`, id, key, value)
	}
	group := func(key, value string) string { return fmt.Sprintf(`{"key":%s,"value":%s}`, key, value) }
	all := []string{row("d5", "null", "0"), row("d0", "1", "10"), row("d1", "2", "20"), row("d2", "2", "21"), row("d7", "3", "30"), row("d3", `"a"`, "1.5"), row("d4", `[1,"x"]`, "-1")}
	var backwards []string
	for _, r := range all {
		backwards = append([]string{r}, backwards...)
	}
	n.tell([]step{
		{"", "GET", view + "k", "", "", 200, viewRows(7, 0, all...)},
		{"", "GET", view + "k?descending=true", "", "", 200, viewRows(7, 0, backwards...)},
		{"", "GET", view + "k?key=2", "", "", 200, viewRows(7, 2, all[2:4]...)},
		{"", "GET", view + "k?startkey=2&endkey=3", "", "", 200, viewRows(7, 2, all[2:5]...)},
		{"", "GET", view + "k?start_key=2&end_key=3&inclusive_end=false", "", "", 200, viewRows(7, 2, all[2:4]...)},
		{"", "GET", view + "k?startkey=2&startkey_docid=d2", "", "", 200, viewRows(7, 3, all[3:]...)},
		{"", "GET", view + "k?endkey=2&endkey_docid=d1", "", "", 200, viewRows(7, 0, all[:3]...)},
		{"", "GET", view + "k?endkey=2&endkey_docid=d2&inclusive_end=false", "", "", 200, viewRows(7, 0, all[:3]...)},
		{"", "GET", view + "k?startkey=3&endkey=2&descending=true", "", "", 200, viewRows(7, 2, backwards[2:5]...)},
		{"", "GET", view + "k?startkey=3&endkey=2&descending=true&inclusive_end=false", "", "", 200, viewRows(7, 2, backwards[2:3]...)},
		{"", "GET", view + "k?startkey=2&startkey_docid=d1&descending=true", "", "", 200, viewRows(7, 4, backwards[4:]...)},
		{"", "GET", view + "k?limit=2&skip=1", "", "", 200, viewRows(7, 1, all[1:3]...)},
		{"", "GET", view + "k?limit=0", "", "", 200, viewRows(7, 0)},
		{"", "GET", view + "k?skip=100", "", "", 200, viewRows(7, 7)},
		{"", "GET", view + `k?keys=["a",2,9]`, "", "", 200, viewRows(7, 5, all[5], all[2], all[3])},
		{"", "POST", view + "k", `{"keys":[3,"a"],"limit":1}`, "", 200, viewRows(7, 4, all[4])},
		{"", "POST", view + "k", `{"startkey":2,"startkey_docid":"d2","endkey":3}`, "", 200, viewRows(7, 3, all[3:5]...)},
		{"", "POST", view + "k", `{"update":"false","limit":0}`, "", 200, viewRows(7, 0)},
		{"", "GET", view + "k?sorted=false&limit=1", "", "", 200, "{\"rows\":[\n" + all[0] + "\n]}"},
		{"", "GET", view + "k?update_seq=true&limit=0", "", "", 200, `{"total_rows":7,"offset":0,"update_seq":"9","rows":[` + "\n]}"},
		{"", "GET", view + "k?stable=true&key=1&include_docs=true&conflicts=true", "", "", 200, viewRows(7, 1, `{"id":"d0","key":1,"value":10,"doc":{"_id":"d0","_rev":"1-x","k":1,"v":10}}`)},
		{"", "GET", view + "link?include_docs=true", "", "", 200, viewRows(2, 0, `{"id":"d6","key":"d6","value":{"_id":"d0"},"doc":{"_id":"d0","_rev":"1-x","k":1,"v":10}}`, `{"id":"d7","key":"d7","value":{"_id":"none"},"doc":null}`)},
		{"", "GET", view + "throws", "", "", 200, viewRows(5, 0, row("d5", "null", "null"), row("d6", "null", "null"), row("d0", "1", "null"), row("d3", `"a"`, "null"), row("d4", `[1,"x"]`, "null"))},

		{"", "GET", view + "sum", "", "", 200, reduced(group("null", "81.5"))},
		{"", "GET", view + "sum?group=true", "", "", 200, reduced(group("null", "0"), group("1", "10"), group("2", "41"), group("3", "30"), group(`"a"`, "1.5"), group(`[1,"x"]`, "-1"))},
		{"", "GET", view + "sum?group=true&skip=1&limit=2", "", "", 200, reduced(group("1", "10"), group("2", "41"))},
		{"", "GET", view + "sum?group=true&descending=true&limit=2", "", "", 200, reduced(group(`[1,"x"]`, "-1"), group(`"a"`, "1.5"))},
		{"", "GET", view + "sum?reduce=false", "", "", 200, viewRows(7, 0, all...)},
		{"", "GET", view + "sum?startkey=100&endkey=200", "", "", 200, reduced()},
		{"", "GET", view + "sum?keys=[2,1]&group=true", "", "", 200, reduced(group("2", "41"), group("1", "10"))},
		{"", "GET", view + "count?group_level=1&startkey=[2]&endkey=[3,{}]", "", "", 200, reduced(group("[2]", "2"), group("[3]", "1"))},
		{"", "GET", view + "count?group_level=2&key=[2,21,1]", "", "", 200, reduced(group("[2,21]", "1"))},
		{"", "GET", view + "count?group_level=0", "", "", 200, reduced(group("null", "7"))},
		{"", "GET", view + "count?group_level=5&limit=1", "", "", 200, reduced(group("[null,0,1]", "1"))},
		{"", "GET", view + "stats?key=2", "", "", 200, reduced(group("null", `{"sum":41,"count":2,"min":20,"max":21,"sumsqr":841}`))},
		{"", "GET", view + "distinct", "", "", 200, reduced(group("null", "6"))},
		{"", "GET", view + "script?group=true&startkey=1&endkey=3", "", "", 200, reduced(group("1", "10"), group("2", "20"), group("3", "10"))},

		{"", "POST", view + "sum/queries", `{"queries":[{"key":2},{"reduce":false,"limit":1,"update_seq":true}]}`, "", 200, "{\"results\":[\n" + reduced(group("null", "41")) + ",\n" + `{"total_rows":7,"offset":0,"update_seq":"9","rows":[` + "\n" + all[0] + "\n]}\n]}"},
		{"", "POST", view + "sum/queries", `{}`, "", 400, "{\"error\":\"bad_request\",\"reason\":\"POST body must include `queries` parameter.\"}"},
		{"", "POST", view + "k/queries", `{"queries":[{"reduce":true}]}`, "", 400, parseError("Reduce is invalid for map-only views.")},

		{"", "GET", view + "none", "", "", 404, `{"error":"not_found","reason":"missing_named_view"}`},
		{"", "GET", "/db/_design/none/_view/k", "", "", 404, missing},
		{"", "GET", view + "k?startkey=3&endkey=2", "", "", 400, parseError("No rows can match your key range, reverse your start_key and end_key or set descending=true")},
		{"", "GET", view + "k?startkey=2&endkey=3&descending=true", "", "", 400, parseError("No rows can match your key range, reverse your start_key and end_key or set descending=false")},
		{"", "GET", view + "k?group=true", "", "", 400, parseError("Invalid use of grouping on a map view.")},
		{"", "GET", view + "k?reduce=true", "", "", 400, parseError("Reduce is invalid for map-only views.")},
		{"", "GET", view + "sum?include_docs=true", "", "", 400, parseError("`include_docs` is invalid for reduce")},
		{"", "GET", view + "sum?keys=[1]", "", "", 400, parseError("Multi-key fetches for reduce views must use `group=true`")},
		{"", "GET", view + "k?keys=[1]&key=1", "", "", 400, parseError("`keys` is incompatible with `key`, `start_key` and `end_key`")},
		{"", "GET", view + "k?limit=-1", "", "", 400, parseError("Invalid value for positive integer: \"-1\"")},
		{"", "GET", view + "k?group_level=x", "", "", 400, parseError("Invalid value for integer: \"x\"")},
		{"", "GET", view + "k?key=x", "", "", 400, `{"error":"bad_request","reason":"invalid UTF-8 JSON"}`},
		{"", "GET", view + "k?key=1,2", "", "", 400, `{"error":"bad_request","reason":"invalid UTF-8 JSON"}`},
		{"", "GET", view + "k?update=maybe", "", "", 400, parseError("Invalid value for `update`.")},
		{"", "GET", view + "k?stale=maybe", "", "", 400, parseError("Invalid value for `stale`.")},
		{"", "PUT", view + "k", "{}", "", 405, `{"error":"method_not_allowed","reason":"Only GET,HEAD,POST allowed"}`},
		{"", "GET", "/db/_design/d/_list/l/k", "", "", 404, `{"error":"not_found","reason":"missing handler"}`},
		{"stranger", "GET", view + "k", "", "", 403, `{"error":"forbidden","reason":"You are not allowed to access this db."}`},
	})
	a := n.admin(200, "GET", "/db/_design/d/_info", "")
	if !strings.HasPrefix(a.body, `{"name":"d","view_index":{"updates_pending":{"minimum":`) || !strings.Contains(a.body, `"language":"javascript"`) {
		t.Errorf("_info: %s", a.body)
	}
}

// Rows follow their documents, however they are asked for.
func TestViewUpdates(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/db/_design/d", ddoc("v", `function(doc) { for (var i = 0; i < doc.n; i++) emit(i, doc._conflicts ? 1 : 0) }`, ""))
	n.admin(201, "PUT", "/db/a", `{"n":2}`)
	const view = "/db/_design/d/_view/v"
	row := func(id string, key, value int) string {
		return fmt.Sprintf(`{"id":%q,"key":%d,"value":%d}`, id, key, value)
	}
	n.tell([]step{
		{"", "GET", view + "?update=false", "", "", 200, viewRows(0, 0)},
		{"", "GET", view + "?stale=ok", "", "", 200, viewRows(0, 0)},
		{"", "GET", view, "", "", 200, viewRows(2, 0, row("a", 0, 0), row("a", 1, 0))},
		{"", "PUT", "/db/a?rev={a}", `{"n":1}`, "", 201, `{"ok":true,"id":"a","rev":"2-x"}`},
		{"", "PUT", "/db/b", `{"n":1}`, "", 201, `{"ok":true,"id":"b","rev":"1-x"}`},
		{"", "GET", view + "?update=false", "", "", 200, viewRows(2, 0, row("a", 0, 0), row("a", 1, 0))},
		{"", "GET", view, "", "", 200, viewRows(2, 0, row("a", 0, 0), row("b", 0, 0))},
		{"", "POST", "/db/_bulk_docs", `{"new_edits":false,"docs":[{"_id":"b","_rev":"1-0","n":3}]}`, "", 201, "[]"},
		{"", "GET", view + "?key=0", "", "", 200, viewRows(2, 0, row("a", 0, 0), row("b", 0, 1))},
		{"", "DELETE", "/db/a?rev={a}", "", "", 200, `{"ok":true,"id":"a","rev":"3-x"}`},
		{"", "GET", view, "", "", 200, viewRows(1, 0, row("b", 0, 1))},
	})
	// A lazy one is answered with what there is, and comes after.
	n.admin(201, "PUT", "/db/c", `{"n":1}`)
	if a := n.admin(200, "GET", view+"?update=lazy", ""); a.body != viewRows(1, 0, row("b", 0, 1)) {
		t.Errorf("lazy: %s", a.body)
	}
	poll(t, func() bool {
		return n.admin(200, "GET", view+"?update=false", "").body == viewRows(2, 0, row("b", 0, 1), row("c", 0, 0))
	})
	// What is purged is gone, and what is left of a document stays.
	rev := strings.Trim(n.admin(200, "HEAD", "/db/c", "").header.Get("ETag"), `"`)
	n.admin(201, "POST", "/db/_purge", `{"c":["`+rev+`"],"b":["1-0"]}`)
	if a := n.admin(200, "GET", view, ""); a.body != viewRows(1, 0, row("b", 0, 0)) {
		t.Errorf("purged: %s", a.body)
	}
	// A new map is another set of rows; the former one's go.
	n.admin(201, "PUT", "/db/_design/d?rev="+strings.Trim(n.admin(200, "HEAD", "/db/_design/d", "").header.Get("ETag"), `"`), ddoc("v", `function(doc) { emit(7, 7) }`, ""))
	if a := n.admin(200, "GET", view, ""); a.body != viewRows(1, 0, row("b", 7, 7)) {
		t.Errorf("new map: %s", a.body)
	}
	n.admin(202, "POST", "/db/_view_cleanup", "")
	n.admin(200, "DELETE", "/db", "")
	n.admin(201, "PUT", "/db", "")
	n.admin(404, "GET", view, "")
}

// Rows survive a restart, and are made again where they are missing.
func TestViewRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := start(t, dir)
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/db/_design/d", ddoc("v", `function(doc) { emit(doc._id, null) }`, "_count"))
	var docs []string
	for i := range 1300 {
		docs = append(docs, fmt.Sprintf(`{"_id":"d%04d"}`, i))
	}
	n.admin(201, "POST", "/db/_bulk_docs", `{"docs":[`+strings.Join(docs, ",")+`]}`)
	want := reduced(`{"key":null,"value":1300}`)
	if a := n.admin(200, "GET", "/db/_design/d/_view/v", ""); a.body != want {
		t.Fatalf("before: %s", a.body)
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	n = start(t, dir)
	if a := n.admin(200, "GET", "/db/_design/d/_view/v?update=false", ""); a.body != want {
		t.Errorf("afterwards: %s", a.body)
	}
}

// A design document whose functions do not compile is refused.
func TestDesignCheck(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	compile := func(what, why string) string {
		return `{"error":"compilation_error","reason":"Compilation of the ` + what + ` failed: ` + why + `"}`
	}
	const noFunction = "expression does not eval to a function"
	n.tell([]step{
		{"", "PUT", "/db/_design/d", ddoc("v", `1 + 1`, ""), "", 400, compile("map function in the 'v' view", noFunction)},
		{"", "PUT", "/db/_design/d", ddoc("v", `function(doc) {}`, "_max"), "", 400, compile("reduce function in the 'v' view", "`_max` is not a supported reduce function")},
		{"", "PUT", "/db/_design/d", ddoc("v", `function(doc) {}`, "1"), "", 400, compile("reduce function in the 'v' view", noFunction)},
		{"", "PUT", "/db/_design/d", `{"filters":{"f":"1"}}`, "", 400, compile("filter function f", noFunction)},
		{"", "PUT", "/db/_design/d", `{"validate_doc_update":"1"}`, "", 400, compile("validate_doc_update function", noFunction)},
		{"", "PUT", "/db/_design/d", `{"validate_doc_update":1}`, "", 400, `{"error":"invalid_design_doc","reason":"The validate_doc_update function must be a string"}`},
		{"", "PUT", "/db/_design/d", `{"views":[]}`, "", 400, "{\"error\":\"invalid_design_doc\",\"reason\":\"`views` must be an object\"}"},
		{"", "PUT", "/db/_design/d", `{"views":{"v":1}}`, "", 400, "{\"error\":\"invalid_design_doc\",\"reason\":\"View `v` must be an object\"}"},
		{"", "PUT", "/db/_design/d", `{"language":1}`, "", 400, "{\"error\":\"invalid_design_doc\",\"reason\":\"`language` must be a string\"}"},
		{"", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"_design/d","validate_doc_update":"1"},{"_id":"a"}]}`, "", 201, `[{"id":"_design/d","error":"compilation_error","reason":"Compilation of the validate_doc_update function failed: expression does not eval to a function"},{"ok":true,"id":"a","rev":"1-x"}]`},
		{"", "PUT", "/db/_design/d", `{"views":{"lib":{"x":"exports.x = 1"}},"language":"javascript"}`, "", 201, `{"ok":true,"id":"_design/d","rev":"1-x"}`},
		{"", "PUT", "/db/_design/e", `{"views":{"v":{"map":"fun(Doc) -> ok end."}},"language":"erlang"}`, "", 201, `{"ok":true,"id":"_design/e","rev":"1-x"}`},
		{"", "GET", "/db/_design/e/_view/v", ``, "", 400, `{"error":"unknown_query_language","reason":"erlang"}`},
		{"", "GET", "/db/_design/d/_view/lib", ``, "", 404, `{"error":"not_found","reason":"missing_named_view"}`},
	})
}

// Functions that would never end, or take all memory, are answered with an
// error, and the server lives on. It runs alone: the memory that a function may take is
// that by which the process grows meanwhile, whoever makes it grow.
func TestViewBounds(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/db/a", `{}`)
	stopped := func(why string) string {
		return `{"error":"os_process_error","reason":"A function of a design document was stopped: the function ` + why + `"}`
	}
	n.admin(201, "PUT", "/db/_design/d", ddoc(
		"loop", `function(doc) { for (;;) {} }`, "",
		"emit", `function(doc) { for (;;) emit(1, 1) }`, "",
		"deep", `function(doc) { (function f() { f() })() }`, "",
		"reduce", `function(doc) { emit(1, 1) }`, `function(k, v) { for (;;) {} }`,
		"sum", `function(doc) { emit(1, "x") }`, `_sum`,
		"fine", `function(doc) { emit(1, 1) }`, ``,
	))
	n.tell([]step{
		{"", "GET", "/db/_design/d/_view/emit", "", "", 500, stopped("returned or emitted too much")},
		{"", "GET", "/db/_design/d/_view/deep", "", "", 200, viewRows(0, 0)},
		{"", "GET", "/db/_design/d/_view/loop", "", "", 500, stopped("took too long")},
		{"", "GET", "/db/_design/d/_view/fine", "", "", 200, viewRows(1, 0, `{"id":"a","key":1,"value":1}`)},
	})
	if a := n.do("admin", "GET", "/db/_design/d/_view/sum", ""); a.status != 500 || !strings.Contains(a.body, `"error":"builtin_reduce_error"`) {
		t.Errorf("_sum of text: %d %s", a.status, a.body)
	}
	if a := n.do("admin", "GET", "/db/_design/d/_view/reduce", ""); a.status != 500 || !strings.Contains(a.body, "took too long") {
		t.Errorf("endless reduce: %d %s", a.status, a.body)
	}
}
