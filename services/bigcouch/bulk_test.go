package bigcouch_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestBulk(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.tell([]step{
		{
			"", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"a"},{"_id":"a"},{"n":1},{"_id":"_local/l","n":1},{"_id":"t","_deleted":true}]}`, "", 201,
			`[{"ok":true,"id":"a","rev":"1-x"},{"id":"a","error":"conflict","reason":"Document update conflict."},{"ok":true,"id":"y","rev":"1-x"},{"ok":true,"id":"_local/l","rev":"0-1"},{"ok":true,"id":"t","rev":"1-x"}]`,
		},
		{"", "POST", "/db/_bulk_docs", `{"docs":[]}`, "", 201, `[]`},
		{"", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"b"},{"_id":"_bad"}]}`, "", 400, `{"error":"illegal_docid","reason":"Only reserved document ids may start with underscore."}`},
		{"", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"b"},7]}`, "", 400, `{"error":"bad_request","reason":"Document must be a JSON object"}`},
		{"", "GET", "/db/b", "", "", 404, missing},
		{"", "POST", "/db/_bulk_docs", `{}`, "", 400, "{\"error\":\"bad_request\",\"reason\":\"POST body must include `docs` parameter.\"}"},
		{"", "POST", "/db/_bulk_docs", `[]`, "", 400, `{"error":"bad_request","reason":"Request body must be a JSON object"}`},
		{"", "POST", "/db/_bulk_docs", `{"docs":1}`, "", 400, "{\"error\":\"bad_request\",\"reason\":\"`docs` parameter must be an array.\"}"},
		{"", "POST", "/db/_bulk_docs", `{"docs":[],"all_or_nothing":true}`, "", 417, `{"error":"not_implemented","reason":"all_or_nothing is not supported"}`},
		{"", "POST", "/db/_bulk_docs", `{"docs":[]}`, "Content-Type: text/plain", 415, notJSON},
		{"", "GET", "/db/_bulk_docs", "", "", 405, `{"error":"method_not_allowed","reason":"Only POST allowed"}`},
		{
			"", "POST", "/db/_bulk_get", `{"docs":[{"id":"a"},{"id":"none"},{"id":"a","rev":"9-z"},{"id":"a","rev":"bad"},{"id":"t"}]}`, "", 200,
			`{"results":[{"id":"a","docs":[{"ok":{"_id":"a","_rev":"1-x"}}]},` +
				`{"id":"none","docs":[{"error":{"id":"none","rev":"undefined","error":"not_found","reason":"missing"}}]},` +
				`{"id":"a","docs":[{"error":{"id":"a","rev":"9-z","error":"not_found","reason":"missing"}}]},` +
				`{"id":"a","docs":[{"error":{"id":"a","rev":"bad","error":"bad_request","reason":"Invalid rev format"}}]},` +
				`{"id":"t","docs":[{"ok":{"_id":"t","_rev":"1-x","_deleted":true}}]}]}`,
		},
		{"", "POST", "/db/_bulk_get", `{}`, "", 400, `{"error":"bad_request","reason":"Missing JSON list of 'docs'."}`},
	})
}

// Revisions that are made elsewhere, and what their tree looks like.
func TestReplicated(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.tell([]step{
		{"", "POST", "/db/_revs_diff", `{"a":["1-a","2-b"],"none":["1-x"]}`, "", 200, `{"a":{"missing":["1-a","2-b"]},"none":{"missing":["1-x"]}}`},
		{"", "POST", "/db/_bulk_docs", `{"new_edits":false,"docs":[{"_id":"a","_rev":"2-b","n":1,"_revisions":{"start":2,"ids":["b","a"]}}]}`, "", 201, `[]`},
		{"", "POST", "/db/_bulk_docs", `{"new_edits":false,"docs":[{"_id":"a","n":2,"_revisions":{"start":2,"ids":["c","a"]}}]}`, "", 201, `[]`},
		{"", "POST", "/db/_bulk_docs", `{"new_edits":false,"docs":[{"_id":"a","n":2,"_revisions":{"start":2,"ids":["c","a"]}}]}`, "", 201, `[]`},
		{"", "POST", "/db/_bulk_docs", `{"new_edits":false,"docs":[{"_id":"a"}]}`, "", 400, "{\"error\":\"doc_validation\",\"reason\":\"When `new_edits: false`, the document needs `_rev` or `_revisions` specified\"}"},
		{"", "POST", "/db/_bulk_docs", `{"new_edits":false,"docs":[{"_id":"a","_rev":"3-q","_revisions":{"start":2,"ids":["c"]}}]}`, "", 400, `{"error":"doc_validation","reason":"Bad special document member: _revisions"}`},
		{
			"", "GET", "/db/a?conflicts=true&revs_info=true", "", "", 200,
			`{"_id":"a","_rev":"2-c","n":2,"_revs_info":[{"rev":"2-c","status":"available"},{"rev":"1-a","status":"missing"}],"_conflicts":["2-b"]}`,
		},
		{
			"", "GET", "/db/a?rev=2-b&meta=true", "", "", 200,
			`{"_id":"a","_rev":"2-b","n":1,"_revs_info":[{"rev":"2-b","status":"available"},{"rev":"1-a","status":"missing"}],"_conflicts":["2-c"]}`,
		},
		{"", "GET", "/db/a?rev=1-a", "", "", 404, missing},
		{"", "GET", "/db/a?rev=1-a&latest=true", "", "", 200, `{"_id":"a","_rev":"2-c","n":2}`},
		{"", "GET", "/db/a?open_revs=all", "", "", 200, `[{"ok":{"_id":"a","_rev":"2-c","n":2}},{"ok":{"_id":"a","_rev":"2-b","n":1}}]`},
		{"", "GET", `/db/a?open_revs=["2-b","1-a","7-z"]&revs=true`, "", "", 200, `[{"ok":{"_id":"a","_rev":"2-b","n":1,"_revisions":{"start":2,"ids":["b","a"]}}},{"missing":"1-a"},{"missing":"7-z"}]`},
		{"", "GET", `/db/a?open_revs=["1-a"]&latest=true`, "", "", 200, `[{"ok":{"_id":"a","_rev":"2-c","n":2}},{"ok":{"_id":"a","_rev":"2-b","n":1}}]`},
		{"", "GET", `/db/none?open_revs=["1-a"]`, "", "", 200, `[{"missing":"1-a"}]`},
		{"", "GET", `/db/none?open_revs=all`, "", "", 404, missing},
		{"", "GET", `/db/a?open_revs=nonsense`, "", "", 400, `{"error":"bad_request","reason":"open_revs is neither all nor a list of revisions"}`},
		{"", "POST", "/db/_revs_diff", `{"a":["1-a","2-b","3-d"]}`, "", 200, `{"a":{"missing":["3-d"],"possible_ancestors":["2-c","2-b"]}}`},
		{"", "POST", "/db/_revs_diff", `{"a":["x"]}`, "", 400, `{"error":"bad_request","reason":"Invalid rev format"}`},
		{"", "GET", "/db/_changes?style=all_docs", "", "", 200, "{\"results\":[\n{\"seq\":\"2\",\"id\":\"a\",\"changes\":[{\"rev\":\"2-c\"},{\"rev\":\"2-b\"}]}\n],\n\"last_seq\":\"2\",\"pending\":0}"},
		{"", "DELETE", "/db/a?rev=2-c", "", "", 200, `{"ok":true,"id":"a","rev":"3-x"}`},
		{"", "GET", "/db/a?deleted_conflicts=true", "", "", 200, `{"_id":"a","_rev":"2-b","n":1,"_deleted_conflicts":["3-x"]}`},
		{"", "PUT", "/db/a?new_edits=false", `{"_rev":"9-z","n":9}`, "", 201, `{"ok":true,"id":"a","rev":"9-z"}`},
		{"", "GET", "/db/a", "", "", 200, `{"_id":"a","_rev":"9-z","n":9}`},
		{"", "PUT", "/db/a?new_edits=perhaps", `{}`, "", 400, `{"error":"query_parse_error","reason":"Invalid boolean parameter: \"perhaps\""}`},
	})
}

// A retry after a lost answer gets the first answer, whatever came of it.
func TestOpID(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	op := func(i int) string { return fmt.Sprintf("X-Leap-Op: %032x", i) }
	first := n.admin(201, "PUT", "/db/a", `{"n":1}`, op(1))
	if again := n.admin(201, "PUT", "/db/a", `{"n":1}`, op(1)); again.body != first.body {
		t.Errorf("repeated: %s, want %s", again.body, first.body)
	}
	n.admin(409, "PUT", "/db/a", `{"n":1}`, op(2))
	n.admin(409, "PUT", "/db/a", `{"n":1}`)
	n.admin(200, "DELETE", "/db/a?rev="+first.rev(t), "", op(3))
	n.admin(200, "DELETE", "/db/a?rev="+first.rev(t), "", op(3))
	n.admin(409, "PUT", "/db/a", `{"n":1}`, op(2)) // Then it was a conflict.
	posted := n.admin(201, "POST", "/db", `{}`, op(4))
	if again := n.admin(201, "POST", "/db", `{}`, op(4)); again.body != posted.body {
		t.Errorf("posted twice: %s, want %s", again.body, posted.body)
	}
	bulk := `{"docs":[{"_id":"_local/x"},{"_id":"_local/y"},{"_id":"big","s":"` + strings.Repeat("x", 600_000) + `"},{"_id":"small"}]}`
	many := n.admin(201, "POST", "/db/_bulk_docs", bulk, op(5))
	if again := n.admin(201, "POST", "/db/_bulk_docs", bulk, op(5)); again.body != many.body || strings.Contains(many.body, "error") {
		t.Errorf("bulk:  %s\nagain: %s", many.body, again.body)
	}
	att := n.admin(201, "PUT", "/db/att/f", "octets", op(6))
	if again := n.admin(201, "PUT", "/db/att/f", "octets", op(6)); again.body != att.body {
		t.Errorf("attachment: %s, want %s", again.body, att.body)
	}
	// Another account's operation is another one.
	n.admin(200, "PUT", "/db/_security", `{"members":{"names":["webapp"]}}`)
	if a := n.do("webapp", "PUT", "/db/att/f", "octets", op(6)); a.status != 409 {
		t.Errorf("another account: %d %s", a.status, a.body)
	}
	n.admin(400, "PUT", "/db/z", `{}`, "X-Leap-Op: short")
}
