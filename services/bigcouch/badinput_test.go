package bigcouch_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"leap.example/services/bigcouch"
)

const (
	objectWanted = `{"error":"bad_request","reason":"Request body must be a JSON object"}`
	wrongType    = `{"error":"bad_request","reason":"Request body has a member of the wrong type"}`
	tooLarge     = `{"error":"too_large","reason":"the request entity is too large"}`
	badRev       = `{"error":"bad_request","reason":"Invalid rev format"}`
	noHandler    = `{"error":"not_found","reason":"missing handler"}`
	reservedID   = `{"error":"illegal_docid","reason":"Only reserved document ids may start with underscore."}`
)

// Whatever takes a JSON object says so of everything else, in the same words.
func TestMalformedBodies(t *testing.T) {
	n := start(t, t.TempDir(), func(c *bigcouch.Config) { c.MaxRequestSize = 64 << 10 })
	n.admin(201, "PUT", "/db", "")
	deep := strings.Repeat(`[`, 20_000)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`))
	z.Close()
	for _, path := range []string{
		"/_dbs_info", "/db", "/db/_all_docs", "/db/_all_docs/queries", "/db/_bulk_docs", "/db/_bulk_get", "/db/_design_docs", "/db/_explain", "/db/_find",
		"/db/_index", "/db/_local_docs", "/db/_missing_revs", "/db/_purge", "/db/_revs_diff",
	} {
		object := objectWanted
		if path == "/db" {
			object = `{"error":"bad_request","reason":"Document must be a JSON object"}`
		}
		n.tell([]step{
			{"", "POST", path, ``, "", 400, badJSON},
			{"", "POST", path, `{`, "", 400, badJSON},
			{"", "POST", path, `{"a":1}{"b":2}`, "", 400, badJSON},
			{"", "POST", path, `{"a":"\ud800"}`, "", 400, badJSON},
			{"", "POST", path, "{\"a\":\"\xff\"}", "", 400, badJSON},
			{"", "POST", path, "{\"a\":\"\x00\"}", "", 400, badJSON},
			{"", "POST", path, deep, "", 400, badJSON},
			{"", "POST", path, `[]`, "", 400, object},
			{"", "POST", path, `null`, "", 400, object},
			{"", "POST", path, `"x"`, "", 400, object},
			{"", "POST", path, `{}`, "Content-Type: application/x-www-form-urlencoded", 415, notJSON},
			{"", "POST", path, `{}`, "Content-Type: application/json; =", 415, notJSON},
			{"", "POST", path, `{}`, "Content-Encoding: br", 415, `{"error":"bad_ctype","reason":"Content-Encoding is neither gzip nor identity"}`},
			{"", "POST", path, `{}`, "Content-Encoding: gzip", 400, `{"error":"bad_request","reason":"Request body is not properly gzipped."}`},
			{"", "POST", path, packed.String()[:packed.Len()-20], "Content-Encoding: gzip", 413, tooLarge},
			{"", "POST", path, packed.String(), "Content-Encoding: gzip", 413, tooLarge},
			{"", "POST", path, `{"a":"` + strings.Repeat("x", 70_000) + `"}`, "", 413, tooLarge},
		})
	}
	for _, path := range []string{"/db/doc", "/db/_local/doc", "/db/_security", "/db/_revs_limit", "/db/_purged_infos_limit"} {
		n.tell([]step{
			{"", "PUT", path, ``, "", 400, badJSON},
			{"", "PUT", path, `{"a":1}}`, "", 400, badJSON},
			{"", "PUT", path, "{\"a\":\"\xc3\"}", "", 400, badJSON},
			{"", "PUT", path, packed.String(), "Content-Encoding: gzip", 413, tooLarge},
		})
	}
}

// Members and parameters of the wrong type.
func TestWrongTypes(t *testing.T) {
	n := start(t, t.TempDir(), func(c *bigcouch.Config) { c.MaxDocumentSize = 1000 })
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/db/a", `{}`)
	bad := func(reason string) string { return `{"error":"bad_request","reason":"` + reason + `"}` }
	invalid := func(what, value string) string {
		return fmt.Sprintf(`{"error":"query_parse_error","reason":"Invalid %s: \"%s\""}`, what, value)
	}
	special := func(name string) string {
		return `{"error":"doc_validation","reason":"Bad special document member: ` + name + `"}`
	}
	big := `{"s":"` + strings.Repeat("x", 1000) + `"}`
	n.tell([]step{
		{"", "POST", "/db/_bulk_docs", `{"docs":{}}`, "", 400, bad("`docs` parameter must be an array.")},
		{"", "POST", "/db/_bulk_docs", `{"docs":null}`, "", 400, bad("`docs` parameter must be an array.")},
		{"", "POST", "/db/_bulk_docs", `{"docs":[],"new_edits":"x"}`, "", 400, bad("`new_edits` parameter must be a boolean.")},
		{"", "POST", "/db/_bulk_docs", `{"docs":[{"_id":7}]}`, "", 400, `{"error":"illegal_docid","reason":"Document id must be a string"}`},
		{"", "POST", "/db/_bulk_docs", `{"docs":[{"_id":""}]}`, "", 400, `{"error":"illegal_docid","reason":"Document id must not be empty"}`},
		{"", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"b","_rev":"x"}]}`, "", 400, badRev},
		{"", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"b"},{"_id":"c","s":"` + strings.Repeat("x", 1000) + `"}]}`, "", 201, `[{"ok":true,"id":"b","rev":"1-x"},{"id":"c","error":"document_too_large","reason":"c"}]`},
		{"", "POST", "/db/_bulk_get", `{"docs":{}}`, "", 400, wrongType},
		{"", "POST", "/db/_revs_diff", `{"a":"1-x"}`, "", 400, wrongType},
		{"", "POST", "/db/_revs_diff", `{"a":[1]}`, "", 400, wrongType},
		{"", "POST", "/db/_all_docs", `{"keys":{}}`, "", 400, bad("`keys` body member must be an array.")},
		{"", "POST", "/db/_all_docs", `{"limit":"x"}`, "", 400, invalid("value for integer", `\\\"x\\\"`)},
		{"", "GET", "/db/_all_docs?include_docs=1", "", "", 400, invalid("boolean parameter", "1")},
		{"", "GET", "/db/_all_docs?limit=99999999999", "", "", 400, invalid("value for integer", "99999999999")},
		{"", "GET", "/db/_all_docs?skip=-1", "", "", 400, invalid("value for positive integer", "-1")},
		{"", "GET", "/db/_all_docs?descending=x", "", "", 400, invalid("boolean parameter", "x")},
		{"", "GET", "/db/_all_docs?key=x", "", "", 400, badJSON},
		{"", "GET", "/db/_all_docs?end_key=%7B", "", "", 400, badJSON},
		{"", "GET", "/_all_dbs?limit=x", "", "", 400, invalid("value for integer", "x")},
		{"", "PUT", "/db/d", big, "", 413, `{"error":"document_too_large","reason":"d"}`},
		{"", "PUT", "/db/_local/d", big, "", 413, `{"error":"document_too_large","reason":"_local/d"}`},
		{"", "PUT", "/db/d", related(big), relatedX, 413, `{"error":"document_too_large","reason":"d"}`},
		{"", "PUT", "/db/d", `{"_deleted":1}`, "", 400, special("_deleted")},
		{"", "PUT", "/db/d", `{"_revisions":1}`, "", 400, special("_revisions")},
		{"", "PUT", "/db/d?new_edits=false", `{"_revisions":{"start":1,"ids":[]}}`, "", 400, special("_revisions")},
		{"", "PUT", "/db/d?new_edits=false", `{"_revisions":{"start":1,"ids":["a","b"]}}`, "", 400, special("_revisions")},
		{"", "PUT", "/db/d?new_edits=false", `{"_revisions":{"start":-1,"ids":["a"]}}`, "", 400, special("_revisions")},
		{"", "PUT", "/db/d?new_edits=false", `{"_revisions":{"start":2,"ids":["a",7]}}`, "", 400, special("_revisions")},
		{"", "PUT", "/db/d?new_edits=false", `{}`, "", 400, "{\"error\":\"doc_validation\",\"reason\":\"When `new_edits: false`, the document needs `_rev` or `_revisions` specified\"}"},
		{"", "PUT", "/db/a?rev=1-a", `{}`, `If-Match: "1-b"`, 400, bad("Document rev and etag have different values")},
		{"", "GET", "/db/a?rev=", "", "", 200, `{"_id":"a","_rev":"1-x"}`},
		{"", "GET", "/db/a?open_revs=", "", "", 400, bad("open_revs is neither all nor a list of revisions")},
		{"", "GET", "/db/a?open_revs=7", "", "", 400, bad("open_revs is neither all nor a list of revisions")},
		{"", "GET", "/db/a?r=x", "", "", 400, invalid("value for integer", "x")},
		{"", "POST", "/db/_find", `{"selector":7}`, "", 400, `{"error":"invalid_selector_json","reason":"Selector must be a JSON object, not: 7"}`},
		{"", "POST", "/db/_find", `{"selector":{},"limit":"x"}`, "", 400, wrongType},
		{"", "POST", "/db/_find", `{"selector":{},"fields":7}`, "", 400, `{"error":"invalid_fields_json","reason":"Fields must be an array of strings"}`},
		{"", "POST", "/db/_find", `{"selector":{},"bookmark":"???"}`, "", 400, `{"error":"invalid_bookmark","reason":"Invalid bookmark value: ???"}`},
		{"", "POST", "/db/_find", `{}`, "", 400, `{"error":"missing_required_key","reason":"Missing required key: selector"}`},
	})
	for _, rev := range []string{"x", "1", "-1", "0-a", "-1-a", "1-", "1-a+b", "1%2Da%00", "99999999999999999999-a", "1.5-a", "+1-a", "1-" + strings.Repeat("a", 200)} {
		n.tell([]step{
			{"", "GET", "/db/a?rev=" + rev, "", "", 400, badRev},
			{"", "DELETE", "/db/a?rev=" + rev, "", "", 400, badRev},
			{"", "PUT", "/db/a/att?rev=" + rev, "x", "", 400, badRev},
			{"", "GET", "/db/a/att?rev=" + rev, "", "", 400, badRev},
			{"", "COPY", "/db/a?rev=" + rev, "", "Destination: z", 400, badRev},
		})
	}
}

// Paths that mean something else to somebody.
func TestPaths(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/a%2Fb", "")
	n.admin(201, "PUT", "/db/..", `{"n":"dots"}`)
	n.admin(201, "PUT", "/db/x%2F..%2Fy", `{"n":"slashes"}`)
	n.admin(201, "PUT", "/db/%2541", `{"n":"twice"}`)
	n.admin(201, "PUT", "/db/nul%00", `{"n":"nul"}`)
	longID := strings.Repeat("i", 8000)
	n.tell([]step{
		{"", "GET", "/db/..", "", "", 200, `{"_id":"..","_rev":"1-x","n":"dots"}`},
		{"", "GET", "/db/%2e%2e", "", "", 200, `{"_id":"..","_rev":"1-x","n":"dots"}`},
		{"", "GET", "/db/../db", "", "", 404, `{"error":"not_found","reason":"Document is missing attachment"}`}, // Of the document "..".
		{"", "GET", "/../db", "", "", 404, noDatabase},
		{"", "GET", "/%2e%2e", "", "", 404, noDatabase},
		{"", "GET", "/db/x%2F..%2Fy", "", "", 200, `{"_id":"x/../y","_rev":"1-x","n":"slashes"}`},
		{"", "GET", "/db/%2541", "", "", 200, `{"_id":"%41","_rev":"1-x","n":"twice"}`}, // Unescaped once.
		{"", "GET", "/db/nul%00", "", "", 200, `{"_id":"nul\u0000","_rev":"1-x","n":"nul"}`},
		{"", "GET", "/db/nul", "", "", 404, missing},
		{"", "GET", "/a%2fb", "", "", 200, n.admin(200, "GET", "/a%2Fb", "").plain()},
		{"", "GET", "/a/b", "", "", 404, noDatabase},
		{"", "GET", "/a%252Fb", "", "", 404, noDatabase},
		{"", "PUT", "/a%00b", "", "", 400, illegalName(`a\u0000b`)},
		{"", "PUT", "/..%2Fx", "", "", 400, illegalName("../x")},
		{"", "PUT", "/a%FF", "", "", 400, illegalName(`a\ufffd`)},
		{"", "PUT", "/" + strings.Repeat("a", 239), "", "", 400, illegalName(strings.Repeat("a", 239))},
		{"", "PUT", "/db/" + longID, `{}`, "", 201, `{"ok":true,"id":"` + longID + `","rev":"1-x"}`},
		{"", "PUT", "/db/" + longID + longID + longID, `{}`, "", 400, `{"error":"illegal_docid","reason":"Document id is too long"}`},
		{"", "GET", "//db///..", "", "", 200, `{"_id":"..","_rev":"1-x","n":"dots"}`},
		{"", "GET", "/db/_nosuch", "", "", 400, reservedID},
		{"", "GET", "/db/_nosuch/x", "", "", 400, reservedID},
		{"", "GET", "/db/_design/", "", "", 400, "{\"error\":\"illegal_docid\",\"reason\":\"Illegal document id `_design/`\"}"},
		{"", "GET", "/db/_local", "", "", 400, "{\"error\":\"illegal_docid\",\"reason\":\"Illegal document id `_local/`\"}"},
		{"", "GET", "/db/_all_docs/x", "", "", 400, reservedID},
		{"", "GET", "/db/_bulk_docs/x", "", "", 400, reservedID},
		{"", "GET", "/_nosuch", "", "", 404, noDatabase},
		{"", "POST", "/_nosuch", `{}`, "", 404, noDatabase},
		{"", "PUT", "/_nosuch", "", "", 400, illegalName("_nosuch")},
		{"", "GET", "/_node/_local/_nosuch", "", "", 404, noHandler},
		{"", "PUT", "/db/a/%FF", "x", "", 400, `{"error":"bad_request","reason":"Attachment name is not UTF-8 encoded"}`},
		{"", "PUT", "/db/a/" + strings.Repeat("n", 4097), "x", "", 400, `{"error":"bad_request","reason":"Attachment name is empty or too long"}`},
		{"", "PUT", "/db/a/..%2f..%2fetc", "x", "", 201, `{"ok":true,"id":"a","rev":"1-x"}`},
		{"", "GET", "/db/a/../../etc", "", "", 200, "x"},
	})
}

// Lists that are long.
func TestHugeLists(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	keys := `"k"` + strings.Repeat(`,"k"`, 50_000)
	a := n.admin(200, "POST", "/db/_all_docs", `{"keys":[`+keys+`]}`)
	if got := strings.Count(a.body, `"error":"not_found"`); got != 50_001 {
		t.Errorf("%d rows for 50001 keys", got)
	}
	docs := `{"id":"k"}` + strings.Repeat(`,{"id":"k"}`, 100_000)
	n.tell([]step{
		{"", "POST", "/db/_bulk_get", `{"docs":[` + docs + `]}`, "", 413, `{"error":"max_bulk_get_count_exceeded","reason":"100000"}`},
		{"", "POST", "/db/_bulk_docs", `{"docs":[` + docs + `]}`, "", 413, `{"error":"max_bulk_docs_count_exceeded","reason":"100000"}`},
		{"", "POST", "/db/_changes?limit=1", `{"doc_ids":[` + keys + `]}`, "", 200, feed(0, 0)},
	})
	// The id that is asked for is as long as a header may be.
	n.tell([]step{{"", "GET", "/db/_all_docs?key=%22" + strings.Repeat("k", 60_000) + "%22", "", "", 200, rows(0, "null")}})
}
