package bigcouch_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

const noIndex = `"warning":"No matching index found, create an index to optimize query time."}`

var bookmarks = regexp.MustCompile(`"bookmark":"([A-Za-z0-9_-]{10,})"`)

// docs writes the answer of _find.
func docs(rest string, ids ...string) string {
	var b strings.Builder
	b.WriteString(`{"docs":[`)
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n{\"_id\":%q}", id)
	}
	return b.String() + "\n]," + rest
}

func TestFind(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	for i := range 40 {
		n.admin(201, "PUT", fmt.Sprintf("/db/d%02d", i), fmt.Sprintf(`{"type":"t%d","n":%d,"a":{"b.c":[%d]}}`, i%2, i, i))
	}
	sel := func(s, rest string) string { return `{"selector":` + s + `,"fields":["_id"]` + rest + `}` }
	n.tell([]step{
		{"", "POST", "/db/_find", sel(`{"n":{"$lt":2}}`, ""), "", 200, docs(`"bookmark":"b",`+noIndex, "d00", "d01")},
		{"", "POST", "/db/_find", sel(`{"_id":{"$gt":"d37"}}`, ""), "", 200, docs(`"bookmark":"b",`+noIndex, "d38", "d39")},
		{"", "POST", "/db/_find", `{"selector":{"n":7},"fields":["n","a.b\\.c"]}`, "", 200, "{\"docs\":[\n{\"a\":{\"b.c\":[7]},\"n\":7}\n],\"bookmark\":\"b\"," + noIndex},
		{"", "POST", "/db/_find", `{"selector":{"n":7}}`, "", 200, "{\"docs\":[\n{\"_id\":\"d07\",\"_rev\":\"1-x\",\"type\":\"t1\",\"n\":7,\"a\":{\"b.c\":[7]}}\n],\"bookmark\":\"b\"," + noIndex},
		{"", "POST", "/db/_find", sel(`{"n":{"$gt":5}}`, `,"sort":["n"]`), "", 400, `{"error":"no_usable_index","reason":"No index exists for this sort, try indexing by the sort fields."}`},
		{"", "POST", "/db/_find", sel(`{"n":{"$foo":5}}`, ``), "", 400, `{"error":"invalid_operator","reason":"Invalid operator: $foo"}`},
		{"", "POST", "/db/_find", `{}`, "", 400, `{"error":"missing_required_key","reason":"Missing required key: selector"}`},
		{"", "POST", "/db/_find", sel(`{}`, `,"limit":-1`), "", 400, `{"error":"invalid_non_neg_integer","reason":"limit and skip must not be negative"}`},
		{"", "POST", "/db/_find", sel(`{}`, `,"limit":0`), "", 200, docs(`"bookmark":"nil",` + noIndex)},
		{"", "POST", "/db/_find", sel(`{}`, `,"bookmark":"!!"`), "", 400, `{"error":"invalid_bookmark","reason":"Invalid bookmark value: !!"}`},
		{"", "POST", "/db/_find", `{"selector":{},"fields":7}`, "", 400, `{"error":"invalid_fields_json","reason":"Fields must be an array of strings"}`},
		{"", "GET", "/db/_index", "", "", 200, `{"total_rows":1,"indexes":[{"ddoc":null,"name":"_all_docs","type":"special","def":{"fields":[{"_id":"asc"}]}}]}`},
		{"", "POST", "/db/_index", `{"index":{"fields":["type","n"]},"ddoc":"i","name":"tn"}`, "", 200, `{"result":"created","id":"_design/i","name":"tn"}`},
		{"", "POST", "/db/_index", `{"index":{"fields":["type","n"]},"ddoc":"_design/i","name":"tn","type":"json"}`, "", 200, `{"result":"exists","id":"_design/i","name":"tn"}`},
		{"", "POST", "/db/_index", `{"index":{"fields":["x"]},"ddoc":"i","name":"x"}`, "", 200, `{"result":"created","id":"_design/i","name":"x"}`},
		{"", "POST", "/db/_index", `{"index":{},"ddoc":"i","name":"x"}`, "", 400, `{"error":"missing_required_key","reason":"Missing required key: fields"}`},
		{"", "POST", "/db/_index", `[]`, "", 400, `{"error":"bad_request","reason":"Request body must be a JSON object"}`},
		{"", "GET", "/db/_index", "", "", 200, `{"total_rows":3,"indexes":[{"ddoc":null,"name":"_all_docs","type":"special","def":{"fields":[{"_id":"asc"}]}},{"ddoc":"_design/i","name":"tn","type":"json","def":{"fields":[{"type":"asc"},{"n":"asc"}]}},{"ddoc":"_design/i","name":"x","type":"json","def":{"fields":[{"x":"asc"}]}}]}`},
		{"", "GET", "/db/_design/i", "", "", 200, `{"_id":"_design/i","_rev":"2-x","language":"query","views":{"tn":{"map":{"fields":{"n":"asc","type":"asc"},"partial_filter_selector":{}},"reduce":"_count","options":{"def":{"fields":[{"type":"asc"},{"n":"asc"}]}}},"x":{"map":{"fields":{"x":"asc"},"partial_filter_selector":{}},"reduce":"_count","options":{"def":{"fields":[{"x":"asc"}]}}}}}`},
		{"", "POST", "/db/_find", sel(`{"type":"t1","n":{"$gte":10,"$lt":15}}`, ""), "", 200, docs(`"bookmark":"b"}`, "d11", "d13")},
		{"", "POST", "/db/_find", sel(`{"type":"t1","n":{"$gte":10,"$lt":15}}`, `,"sort":[{"n":"desc"}]`), "", 200, docs(`"bookmark":"b"}`, "d13", "d11")},
		{"", "POST", "/db/_find", sel(`{"type":"t0","n":{"$exists":true}}`, `,"skip":18,"sort":["type","n"]`), "", 200, docs(`"bookmark":"b"}`, "d36", "d38")},
		{"", "PUT", "/db/d13?rev={d13}", `{"type":"t1","n":100}`, "", 201, `{"ok":true,"id":"d13","rev":"2-x"}`},
		{"", "PUT", "/db/d11?rev={d11}", `{"type":"t1"}`, "", 201, `{"ok":true,"id":"d11","rev":"2-x"}`},
		{"", "DELETE", "/db/d15?rev={d15}", ``, "", 200, `{"ok":true,"id":"d15","rev":"2-x"}`},
		{"", "POST", "/db/_find", sel(`{"type":"t1","n":{"$gt":8,"$lt":18}}`, ""), "", 200, docs(`"bookmark":"b"}`, "d09", "d17")},
		{"", "POST", "/db/_find", sel(`{"type":"t1","n":{"$gt":38}}`, ""), "", 200, docs(`"bookmark":"b"}`, "d39", "d13")},
		{"", "POST", "/db/_explain", `{"selector":{"type":"t1"},"sort":["type","n"]}`, "", 200, `{"dbname":"db","fields":"all_fields","index":{"ddoc":"_design/i","name":"tn","type":"json","def":{"fields":[{"type":"asc"},{"n":"asc"}]}},"limit":25,"mrargs":{"direction":"fwd","include_docs":true},"opts":{"bookmark":"nil","conflicts":false,"execution_stats":false,"fields":"all_fields","limit":25,"skip":0,"sort":["type","n"],"use_index":[]},"partitioned":false,"selector":{"type":"t1"},"skip":0}`},
		{"", "DELETE", "/db/_index/_design/i/json/none", "", "", 404, missing},
		{"", "DELETE", "/db/_index/none/json/x", "", "", 404, missing},
		{"", "DELETE", "/db/_index/i/text/x", "", "", 404, `{"error":"not_found","reason":"missing handler"}`},
		{"", "DELETE", "/db/_index/i/json/x", "", "", 200, okBody},
		{"", "DELETE", "/db/_index/_design/i/json/tn", "", "", 200, okBody},
		{"", "GET", "/db/_design/i", "", "", 404, deleted},
		{"", "POST", "/db/_find", sel(`{"type":"t1","n":{"$gt":38}}`, ""), "", 200, docs(`"bookmark":"b",`+noIndex, "d13", "d39")},
		{"", "PUT", "/db/_design/js", `{"language":"javascript"}`, "", 201, `{"ok":true,"id":"_design/js","rev":"1-x"}`},
		{"", "POST", "/db/_index", `{"index":{"fields":["x"]},"ddoc":"js","name":"x"}`, "", 400, `{"error":"invalid_ddoc","reason":"Design document has another language than query"}`},
		{"", "POST", "/db/_index", `{"index":{"fields":["x"]},"ddoc":"j","name":"x"}`, "", 200, `{"result":"created","id":"_design/j","name":"x"}`},
		{"", "POST", "/db/_index/_bulk_delete", `{"docids":["_design/j","k","js"]}`, "", 200, `{"success":[{"id":"_design/j","ok":true}],"fail":[{"id":"k","error":"not_found"},{"id":"js","error":"invalid_ddoc"}]}`},
		{"", "POST", "/db/_index/_bulk_delete", `{}`, "", 400, `{"error":"missing_required_key","reason":"Missing required key: docids"}`},
		{"", "GET", "/db/_index/_bulk_delete", "", "", 405, `{"error":"method_not_allowed","reason":"Only POST allowed"}`},
		{"", "GET", "/db/_design/j", "", "", 404, deleted},
	})
	if a := n.admin(200, "POST", "/db/_find", `{"selector":{"n":1},"execution_stats":true}`); !strings.Contains(a.body, `"execution_stats":{"total_keys_examined":0,"total_docs_examined":39,"total_quorum_docs_examined":0,"results_returned":1,"execution_time_ms":`) {
		t.Errorf("execution_stats: %s", a.body)
	}
}

// Bookmarks lead through all answers, by id and by an index, both ways.
func TestBookmarks(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(200, "POST", "/db/_index", `{"index":{"fields":["k"]},"ddoc":"i","name":"k"}`)
	for i := range 23 {
		n.admin(201, "PUT", fmt.Sprintf("/db/d%02d", i), fmt.Sprintf(`{"k":%d}`, i/4))
	}
	for _, query := range []string{`{"selector":{"k":{"$gte":0}}`, `{"selector":{"k":{"$gte":0}},"sort":[{"k":"desc"}]`, `{"selector":{"_id":{"$gt":"d"}}`, `{"selector":{"_id":{"$gt":"d"}},"sort":[{"_id":"desc"}]`} {
		seen := map[string]bool{}
		bookmark := ""
		for range 10 {
			a := n.admin(200, "POST", "/db/_find", query+`,"fields":["_id"],"limit":5,"bookmark":"`+bookmark+`"}`)
			for _, id := range regexp.MustCompile(`d\d\d`).FindAllString(strings.Split(a.body, "bookmark")[0], -1) {
				if seen[id] {
					t.Errorf("%s: %s twice", query, id)
				}
				seen[id] = true
			}
			m := bookmarks.FindStringSubmatch(a.body)
			if m == nil {
				break
			}
			bookmark = m[1]
		}
		if len(seen) != 23 {
			t.Errorf("%s: %d documents, want 23", query, len(seen))
		}
	}
}
