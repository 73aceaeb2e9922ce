package bigcouch_test

import (
	"strings"
	"testing"
)

const notYourDatabase = `{"error":"unauthorized","reason":"You are not a db or server admin."}`

func TestPurge(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(200, "PUT", "/db/_security", `{"members":{"names":["webapp"]}}`)
	n.admin(201, "PUT", "/db/a", `{"n":1}`)
	n.admin(201, "POST", "/db/_bulk_docs", `{"new_edits":false,"docs":[{"_id":"c","_revisions":{"start":2,"ids":["b","a"]}},{"_id":"c","_revisions":{"start":2,"ids":["c","a"]}}]}`)
	old := n.rev("a")
	var many strings.Builder
	many.WriteString(`{"d":[]`)
	for i := range 101 {
		many.WriteString(`,"d` + string(rune('a'+i%26)) + string(rune('a'+i/26)) + `":[]`)
	}
	n.tell([]step{
		{"webapp", "POST", "/db/_purge", `{}`, "", 401, notAdmin},
		{"", "POST", "/db/_purge", `{}`, "Content-Type: text/plain", 415, notJSON},
		{"", "POST", "/db/_purge", `[]`, "", 400, `{"error":"bad_request","reason":"Request body must be a JSON object"}`},
		{"", "POST", "/db/_purge", `{"a":"1-x"}`, "", 400, `{"error":"bad_request","reason":"Request body has a member of the wrong type"}`},
		{"", "POST", "/db/_purge", `{"a":["x"]}`, "", 400, `{"error":"bad_request","reason":"Invalid rev format"}`},
		{"", "POST", "/db/_purge", many.String() + `}`, "", 400, `{"error":"bad_request","reason":"Exceeded maximum number of documents."}`},
		{"", "POST", "/db/_purge", `{"a":["` + strings.Repeat(`1-a","`, 1000) + `1-a"]}`, "", 400, `{"error":"bad_request","reason":"Exceeded maximum number of revisions."}`},
		{"", "GET", "/db/_purge", "", "", 405, `{"error":"method_not_allowed","reason":"Only POST allowed"}`},
		{"", "POST", "/db/_purge", `{}`, "", 201, `{"purge_seq":null,"purged":{}}`},
		{"", "POST", "/db/_purge", `{"a":["{a}","7-z"],"none":["1-a"],"c":["1-a","2-c"]}`, "", 201, `{"purge_seq":null,"purged":{"a":["1-x"],"c":["2-c"],"none":[]}}`},
		{"", "GET", "/db/a", "", "", 404, missing},
		{"", "GET", "/db/c?conflicts=true&revs=true", "", "", 200, `{"_id":"c","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]}}`},
		{"", "GET", "/db/_changes", "", "", 200, feed(4, 0, change(4, "c", "2-b", ""))},
		{"", "PUT", "/db/a?new_edits=false", `{"_rev":"` + old + `"}`, "", 201, `{"ok":true,"id":"a","rev":"1-x"}`}, // As if it had never been.
	})
	if info := n.admin(200, "GET", "/db", "").plain(); !strings.Contains(info, `"purge_seq":"2"`) || !strings.Contains(info, `"doc_count":2`) {
		t.Errorf("info: %s", info)
	}
	op := "X-Leap-Op: 0123456789abcdef"
	first := n.admin(201, "POST", "/db/_purge", `{"a":["`+old+`"]}`, op)
	if again := n.admin(201, "POST", "/db/_purge", `{"a":["`+old+`"]}`, op); again.body != first.body {
		t.Errorf("repeated: %s, want %s", again.body, first.body)
	}
}

func TestMaintenance(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(200, "PUT", "/db/_security", `{"members":{"names":["webapp"]}}`)
	n.admin(201, "PUT", "/db/_design/d", `{}`)
	notPositive := func(name string) string {
		return "{\"error\":\"bad_request\",\"reason\":\"`" + name + "` must be positive integer\"}"
	}
	n.tell([]step{
		{"webapp", "GET", "/db/_revs_limit", "", "", 200, `1000`},
		{"webapp", "PUT", "/db/_revs_limit", "5", "", 401, notYourDatabase},
		{"", "PUT", "/db/_revs_limit", "0", "", 400, notPositive("revs_limit")},
		{"", "PUT", "/db/_revs_limit", `"5"`, "", 400, notPositive("revs_limit")},
		{"", "PUT", "/db/_revs_limit", `5.5`, "", 400, notPositive("revs_limit")},
		{"", "PUT", "/db/_revs_limit", `99999999999`, "", 400, notPositive("revs_limit")},
		{"", "PUT", "/db/_revs_limit", ``, "", 400, badJSON},
		{"", "PUT", "/db/_revs_limit", "2", "", 200, okBody},
		{"", "GET", "/db/_revs_limit", "", "", 200, `2`},
		{"", "POST", "/db/_revs_limit", "2", "", 405, `{"error":"method_not_allowed","reason":"Only GET,HEAD,PUT allowed"}`},
		{"", "PUT", "/db/a", `{"n":1}`, "", 201, `{"ok":true,"id":"a","rev":"1-x"}`},
		{"", "PUT", "/db/a?rev={a}", `{"n":2}`, "", 201, `{"ok":true,"id":"a","rev":"2-x"}`},
		{"", "PUT", "/db/a?rev={a}", `{"n":3}`, "", 201, `{"ok":true,"id":"a","rev":"3-x"}`},
		{"", "GET", "/db/a?revs=true", "", "", 200, `{"_id":"a","_rev":"3-x","n":3,"_revisions":{"start":3,"ids":["y","y"]}}`},
		{"webapp", "GET", "/db/_purged_infos_limit", "", "", 200, `1000`},
		{"webapp", "PUT", "/db/_purged_infos_limit", "5", "", 401, notAdmin},
		{"", "PUT", "/db/_purged_infos_limit", "-1", "", 400, notPositive("purge_infos_limit")},
		{"", "PUT", "/db/_purged_infos_limit", "7", "", 200, okBody},
		{"", "GET", "/db/_purged_infos_limit", "", "", 200, `7`},
		{"", "POST", "/db/_compact", "", "", 202, okBody},
		{"", "POST", "/db/_compact", "", "Content-Type: text/plain", 415, notJSON},
		{"webapp", "POST", "/db/_compact", "", "", 401, notYourDatabase},
		{"", "POST", "/db/_compact/d", "", "", 202, okBody},
		{"", "POST", "/db/_compact/none", "", "", 404, missing},
		{"", "GET", "/db/_compact", "", "", 405, `{"error":"method_not_allowed","reason":"Only POST allowed"}`},
		{"", "POST", "/db/_view_cleanup", "", "", 202, okBody},
		{"webapp", "POST", "/db/_view_cleanup", "", "", 401, notYourDatabase},
		{"", "POST", "/db/_missing_revs", `{"a":["1-a","3-b"],"none":["1-x"]}`, "", 200, `{"missing_revs":{"a":["1-a","3-b"],"none":["1-x"]}}`},
		{"", "POST", "/db/_missing_revs", `{"a":["{a}"]}`, "", 200, `{"missing_revs":{}}`},
		{"", "POST", "/db/_missing_revs", `{"a":["x"]}`, "", 400, `{"error":"bad_request","reason":"Invalid rev format"}`},
		{"", "POST", "/db/_missing_revs", `{"a":1}`, "", 400, `{"error":"bad_request","reason":"Request body has a member of the wrong type"}`},
		{"", "GET", "/db/_missing_revs", "", "", 405, `{"error":"method_not_allowed","reason":"Only POST allowed"}`},
	})
}

func TestNamespaces(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	for _, id := range []string{"a", "_design/x", "_design/y", "_design/z", "_local/l", "_local/m", "zz"} {
		n.admin(201, "PUT", "/db/"+id, `{}`)
	}
	n.admin(200, "DELETE", "/db/_design/z?rev="+n.rev("_design%2Fz"), "")
	design := func(offset string, ids ...string) string { return rows(2, offset, ids...) }
	local := func(ids ...string) string {
		var b strings.Builder
		b.WriteString(`{"total_rows":null,"offset":null,"rows":[`)
		for i, id := range ids {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString("\n{\"id\":\"" + id + "\",\"key\":\"" + id + "\",\"value\":{\"rev\":\"0-1\"}}")
		}
		return b.String() + "\n]}"
	}
	queries := "POST body must include `queries` parameter."
	n.tell([]step{
		{"", "GET", "/db/_design_docs", "", "", 200, design("0", " _design/x", " _design/y")},
		{"", "GET", "/db/_design_docs?descending=true&limit=1", "", "", 200, design("0", " _design/y")},
		{"", "GET", "/db/_design_docs?skip=1", "", "", 200, design("1", " _design/y")},
		{"", "GET", `/db/_design_docs?start_key="_design/y"`, "", "", 200, design("null", " _design/y")},
		{"", "GET", `/db/_design_docs?end_key="_design/x"`, "", "", 200, design("null", " _design/x")},
		{"", "GET", `/db/_design_docs?start_key="a"`, "", "", 200, design("null")},
		{"", "POST", "/db/_design_docs", `{"keys":["_design/y","a","_design/z"]}`, "", 200, design("null", " _design/y", `?"a"`, "!_design/z")},
		{"", "GET", "/db/_local_docs", "", "", 200, local("_local/l", "_local/m")},
		{"", "GET", "/db/_local_docs?descending=true&limit=1", "", "", 200, local("_local/m")},
		{"", "GET", `/db/_local_docs?start_key="_local/m"`, "", "", 200, local("_local/m")},
		{"", "GET", `/db/_local_docs?end_key="_local/l"`, "", "", 200, local("_local/l")},
		{"", "GET", `/db/_local_docs?start_key="a"`, "", "", 200, local()},
		{"", "GET", `/db/_local_docs?end_key="A"`, "", "", 200, local()},
		{"", "GET", "/db/_local_docs?limit=0", "", "", 200, local()},
		{"", "GET", "/db/_local_docs?skip=1&include_docs=true", "", "", 200, "{\"total_rows\":null,\"offset\":null,\"rows\":[\n{\"id\":\"_local/m\",\"key\":\"_local/m\",\"value\":{\"rev\":\"0-1\"},\"doc\":{\"_id\":\"_local/m\",\"_rev\":\"0-1\"}}\n]}"},
		{"", "POST", "/db/_local_docs", `{"keys":["_local/m","_local/none","a"]}`, "", 200, strings.TrimSuffix(local("_local/m"), "\n]}") + ",\n{\"key\":\"_local/none\",\"error\":\"not_found\"},\n{\"key\":\"a\",\"error\":\"not_found\"}\n]}"},
		{"", "PUT", "/db/_local_docs", "", "", 405, `{"error":"method_not_allowed","reason":"Only GET,HEAD,POST allowed"}`},
		{
			"", "POST", "/db/_all_docs/queries?limit=1", `{"queries":[{"keys":["a","none"],"limit":2},{"start_key":"a"},{"start_key":"a","skip":1}]}`, "", 200,
			"{\"results\":[\n" + rows(4, "null", " a", `?"none"`) + ",\n" + rows(4, "null", " a") + ",\n" + rows(4, "null", " zz") + "\n]}",
		},
		{"", "POST", "/db/_design_docs/queries", `{"queries":[{"limit":1}]}`, "", 200, "{\"results\":[\n" + design("0", " _design/x") + "\n]}"},
		{"", "POST", "/db/_local_docs/queries", `{"queries":[]}`, "", 200, "{\"results\":[\n]}"},
		{"", "POST", "/db/_all_docs/queries", `{}`, "", 400, `{"error":"bad_request","reason":"` + queries + `"}`},
		{"", "POST", "/db/_all_docs/queries", `{"queries":[{"keys":7}]}`, "", 400, "{\"error\":\"bad_request\",\"reason\":\"`keys` body member must be an array.\"}"},
		{"", "POST", "/db/_all_docs/queries", `{"queries":[{"limit":-1}]}`, "", 400, `{"error":"query_parse_error","reason":"Invalid value for positive integer: \"-1\""}`},
		{"", "POST", "/db/_all_docs/queries", `{"queries":[` + strings.Repeat(`{},`, 1000) + `{}]}`, "", 413, `{"error":"too_large","reason":"more than 1000 queries"}`},
		{"", "GET", "/db/_all_docs/queries", "", "", 405, `{"error":"method_not_allowed","reason":"Only POST allowed"}`},
	})
}
