package bigcouch_test

import (
	"fmt"
	"strings"
	"testing"
)

// rows writes the answer of _all_docs that has these documents, "!" for
// deleted and "?" for missing ones.
func rows(total int, offset string, ids ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"total_rows":%d,"offset":%s,"rows":[`, total, offset)
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		name := id[1:]
		switch id[0] {
		case '?':
			fmt.Fprintf(&b, "\n{\"key\":%s,\"error\":\"not_found\"}", name)
		case '!':
			fmt.Fprintf(&b, "\n{\"id\":%q,\"key\":%q,\"value\":{\"rev\":\"2-x\",\"deleted\":true}}", name, name)
		default:
			fmt.Fprintf(&b, "\n{\"id\":%q,\"key\":%q,\"value\":{\"rev\":\"1-x\"}}", name, name)
		}
	}
	b.WriteString("\n]}")
	return b.String()
}

func TestAllDocs(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	for _, id := range []string{"a", "B", "c", "d", "gone"} {
		n.admin(201, "PUT", "/db/"+id, `{}`)
	}
	n.tell([]step{
		{"", "DELETE", "/db/gone?rev={gone}", "", "", 200, `{"ok":true,"id":"gone","rev":"2-x"}`},
		{"", "GET", "/db/_all_docs", "", "", 200, rows(4, "0", " B", " a", " c", " d")},
		{"", "GET", "/db/_all_docs?descending=true", "", "", 200, rows(4, "0", " d", " c", " a", " B")},
		{"", "GET", "/db/_all_docs?limit=2&skip=1", "", "", 200, rows(4, "1", " a", " c")},
		{"", "GET", "/db/_all_docs?limit=0", "", "", 200, rows(4, "0")},
		{"", "GET", "/db/_all_docs?limit=-1", "", "", 400, `{"error":"query_parse_error","reason":"Invalid value for positive integer: \"-1\""}`},
		{"", "GET", "/db/_all_docs?skip=x", "", "", 400, `{"error":"query_parse_error","reason":"Invalid value for integer: \"x\""}`},
		{"", "GET", `/db/_all_docs?key="c"`, "", "", 200, rows(4, "null", " c")},
		{"", "GET", `/db/_all_docs?key="gone"`, "", "", 200, rows(4, "null")},
		{"", "GET", `/db/_all_docs?start_key="a"&end_key="c"`, "", "", 200, rows(4, "null", " a", " c")},
		{"", "GET", `/db/_all_docs?startkey="a"&endkey="c"&inclusive_end=false`, "", "", 200, rows(4, "null", " a")},
		{"", "GET", `/db/_all_docs?start_key="c"&end_key="a"&descending=true`, "", "", 200, rows(4, "null", " c", " a")},
		{"", "GET", `/db/_all_docs?start_key="c"&end_key="a"&descending=true&inclusive_end=false`, "", "", 200, rows(4, "null", " c")},
		{"", "GET", `/db/_all_docs?start_key="c"&end_key="a"`, "", "", 200, rows(4, "null")},
		{"", "GET", `/db/_all_docs?start_key=null&end_key={}`, "", "", 200, rows(4, "null", " B", " a", " c", " d")},
		{"", "GET", `/db/_all_docs?start_key={}`, "", "", 200, rows(4, "null")},
		{"", "GET", `/db/_all_docs?end_key=7`, "", "", 200, rows(4, "null")},
		{"", "GET", `/db/_all_docs?start_key=nonsense`, "", "", 400, badJSON},
		{"", "GET", `/db/_all_docs?keys=["d","none","gone","a"]`, "", "", 200, rows(4, "null", " d", `?"none"`, "!gone", " a")},
		{"", "POST", `/db/_all_docs`, `{"keys":["d",7,"a"],"limit":2}`, "", 200, rows(4, "null", " d", "?7")},
		{"", "POST", `/db/_all_docs?descending=true`, `{"keys":["d","a"],"skip":1}`, "", 200, rows(4, "null", " d")},
		{"", "POST", `/db/_all_docs`, `{"start_key":"c","limit":1}`, "", 200, rows(4, "null", " c")},
		{"", "POST", `/db/_all_docs`, `{"keys":"a"}`, "", 400, "{\"error\":\"bad_request\",\"reason\":\"`keys` body member must be an array.\"}"},
		{"", "GET", `/db/_all_docs?keys=7`, "", "", 400, "{\"error\":\"bad_request\",\"reason\":\"`keys` parameter must be an array.\"}"},
		{
			"", "POST", `/db/_all_docs`, `{"keys":["gone","a"],"include_docs":true}`, "", 200,
			"{\"total_rows\":4,\"offset\":null,\"rows\":[\n{\"id\":\"gone\",\"key\":\"gone\",\"value\":{\"rev\":\"2-x\",\"deleted\":true},\"doc\":null},\n" +
				"{\"id\":\"a\",\"key\":\"a\",\"value\":{\"rev\":\"1-x\"},\"doc\":{\"_id\":\"a\",\"_rev\":\"1-x\"}}\n]}",
		},
		{"", "GET", `/db/_all_docs?limit=0&update_seq=true`, "", "", 200, rows(4, `0,"update_seq":"6"`)},
		{"", "DELETE", "/db/_all_docs", "", "", 405, `{"error":"method_not_allowed","reason":"Only GET,HEAD,POST allowed"}`},
	})
}

func TestLocal(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.tell([]step{
		{"", "GET", "/db/_local/x", "", "", 404, missing},
		{"", "PUT", "/db/_local/x", `{"n":1}`, "", 201, `{"ok":true,"id":"_local/x","rev":"0-1"}`},
		{"", "GET", "/db/_local/x", "", "", 200, `{"_id":"_local/x","_rev":"0-1","n":1}`},
		{"", "PUT", "/db/_local/x", `{"n":2}`, "", 201, `{"ok":true,"id":"_local/x","rev":"0-1"}`},
		{"", "PUT", "/db/_local/x", `{"n":3,"_rev":"0-7"}`, "", 201, `{"ok":true,"id":"_local/x","rev":"0-8"}`},
		{"", "PUT", "/db/_local/x?rev=0-8", `{}`, "", 201, `{"ok":true,"id":"_local/x","rev":"0-9"}`},
		{"", "PUT", "/db/_local/x?rev=1-a", `{}`, "", 400, `{"error":"bad_request","reason":"Invalid rev format"}`},
		{"", "GET", "/db/_local%2Fx", "", "", 200, `{"_id":"_local/x","_rev":"0-9"}`},
		{"", "POST", "/db", `{"_id":"_local/y"}`, "", 201, `{"ok":true,"id":"_local/y","rev":"0-1"}`},
		{"", "GET", "/db/_all_docs", "", "", 200, rows(0, "0")},
		{"", "GET", "/db/_changes", "", "", 200, feed(0, 0)},
		{"", "DELETE", "/db/_local/x", "", "", 200, `{"ok":true,"id":"_local/x","rev":"0-0"}`},
		{"", "DELETE", "/db/_local/x", "", "", 404, missing},
		{"", "GET", "/db/_local/x/att", "", "", 404, `{"error":"not_found","reason":"missing handler"}`},
		{"", "PUT", "/db/_local/x", `{"_attachments":{"a":{"data":""}}}`, "", 400, `{"error":"bad_request","reason":"Local documents have no attachments"}`},
	})
}
