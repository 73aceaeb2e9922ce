package bigcouch_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
	"time"

	"leap.example/services/bigcouch"
)

// The rows of the design's table of CouchDB's behaviour, one after the other,
// as far as no design document is asked to do anything. Each begins with an
// empty database. What the table says is ours and not CouchDB's is marked.
func TestBehaviour(t *testing.T) {
	n := start(t, t.TempDir(), func(c *bigcouch.Config) { c.MaxDocumentSize = 10_000; c.MaxRequestSize = 100_000 })
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(`{"n":1}`))
	z.Close()
	ok := func(id, rev string) string { return fmt.Sprintf(`{"ok":true,"id":%q,"rev":%q}`, id, rev) }
	fail := func(name, reason string) string { return fmt.Sprintf(`{"error":%q,"reason":%q}`, name, reason) }
	for _, row := range []struct {
		name  string
		steps []step
	}{
		{"GET / and _up", []step{
			{"nobody", "GET", "/", "", "", 200, `{"couchdb":"Welcome","version":"3.3.3","features":[],"vendor":{"name":"LEAP bigcouch"}}`},
			{"nobody", "GET", "/_up", "", "", 200, `{"status":"ok"}`},
			{"nobody", "HEAD", "/_up", "", "", 200, ""},
		}},
		{"databases", []step{
			{"", "PUT", "/new", "", "", 201, okBody},
			{"", "PUT", "/new", "", "", 412, fail("file_exists", "The database could not be created, the file already exists.")},
			{"", "PUT", "/New", "", "", 400, illegalName("New")},
			{"", "PUT", "/q?q=0", "", "", 400, fail("bad_request", "The `q` parameter must be an integer greater than zero.")},
			{"", "GET", "/nosuch", "", "", 404, noDatabase},
			{"", "GET", "/db/nosuch", "", "", 404, missing},
			{"", "DELETE", "/new?rev=1-a", "", "", 400, fail("bad_request", "You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document instead?")},
			{"", "DELETE", "/new", "", "", 200, okBody},
		}},
		{"PUT document", []step{
			{"", "PUT", "/db/a", `{"n":1}`, "", 201, ok("a", "1-x")},
			{"", "PUT", "/db/a", `{"n":1}`, "", 409, conflict},
			{"", "PUT", "/db/a?rev=nonsense", `{"n":1}`, "", 400, badRev},
			{"", "PUT", "/db/a?rev=1-a", `{"_rev":"1-b"}`, "", 400, fail("bad_request", "Document rev from request body and query string have different values")},
			{"", "PUT", "/db/a", `{"n":2}`, `If-Match: "{a}"`, 201, ok("a", "2-x")},
			{"", "PUT", "/db/a", `{"n":3}`, `If-Match: {a}`, 201, ok("a", "3-x")},
			{"", "GET", "/db/a", "", `If-None-Match: "{a}"`, 304, ""},
			{"", "PUT", "/db/none?rev=1-a", `{}`, "", 409, conflict}, // Ours.
		}},
		{"deletion", []step{
			{"", "PUT", "/db/a", `{"n":1}`, "", 201, ok("a", "1-x")},
			{"", "DELETE", "/db/a", "", "", 409, conflict},
			{"", "PUT", "/db/a?rev={a}", `{"_deleted":true,"why":"x"}`, "", 200, ok("a", "2-x")},
			{"", "GET", "/db/a", "", "", 404, deleted},
			{"", "GET", "/db/a?open_revs=all", "", "", 200, `[{"ok":{"_id":"a","_rev":"2-x","why":"x","_deleted":true}}]`},
			{"", "DELETE", "/db/nosuch", "", "", 404, missing},
			{"", "PUT", "/db/a", `{}`, "", 201, ok("a", "3-x")},
			{"", "PUT", "/db/b?new_edits=false", `{"_rev":"2-b","_deleted":true}`, "", 201, ok("b", "2-b")},
			{"", "PUT", "/db/b?rev=2-b", `{}`, "", 409, conflict},
		}},
		{"ids", []step{
			{"", "PUT", "/db/url", `{"_id":"body"}`, "", 201, ok("url", "1-x")},
			{"", "PUT", "/db/a+b", `{}`, "", 201, ok("a b", "1-x")},
			{"", "GET", "/db/a%20b", "", "", 200, `{"_id":"a b","_rev":"1-x"}`},
			{"", "PUT", "/db/a%2Bb", `{}`, "", 201, ok("a+b", "1-x")},
			{"", "PUT", "/db/_a", `{}`, "", 400, reservedID},
			{"", "PUT", "/db/a", `{"_field":1}`, "", 400, fail("doc_validation", "Bad special document member: _field")},
			{"", "PUT", "/db/%FF", `{}`, "", 400, fail("illegal_docid", "Document id must be valid UTF-8")},
			{"", "PUT", "/db/a%00", `{}`, "", 201, `{"ok":true,"id":"a\u0000","rev":"1-x"}`},
			{"", "PUT", "/db/" + strings.Repeat("a", 8000), `{}`, "", 201, ok(strings.Repeat("a", 8000), "1-x")},
		}},
		{"values", []step{
			{"", "PUT", "/db/a", `{"i":12345678901234567890,"f":1.0,"e":1e2}`, "", 201, ok("a", "1-x")},
			{"", "GET", "/db/a", "", "", 200, `{"_id":"a","_rev":"1-x","i":12345678901234567890,"f":1.0,"e":1e2}`}, // 1e2 is ours.
			{"", "PUT", "/db/b", `{"a":1,"a":2}`, "", 201, ok("b", "1-x")},
			{"", "GET", "/db/b", "", "", 200, `{"_id":"b","_rev":"1-x","a":2}`},
			{"", "PUT", "/db/c", `{"a":"\ud800"}`, "", 400, badJSON},
			{"", "PUT", "/db/c", `[]`, "", 400, fail("bad_request", "Document must be a JSON object")},
		}},
		{"content types and sizes", []step{
			{"", "POST", "/db/_ensure_full_commit", "", "Content-Type: text/plain", 415, notJSON},
			{"", "POST", "/db/_compact", "", "Content-Type: text/plain", 415, notJSON},
			{"", "POST", "/db", `{}`, "Content-Type: text/plain", 415, notJSON},
			{"", "PUT", "/db/a", `{}`, "Content-Type: text/plain", 201, ok("a", "1-x")},
			{"", "PUT", "/db/b", packed.String(), "Content-Encoding: gzip", 201, ok("b", "1-x")},
			{"", "PUT", "/db/c", `{"s":"` + strings.Repeat("x", 10_000) + `"}`, "", 413, fail("document_too_large", "c")},
			{"", "PUT", "/db/d?w=9", `{}`, "", 201, ok("d", "1-x")},              // Ours.
			{"", "PUT", "/db/e?batch=ok", `{}`, "", 201, ok("e", "1-x")},         // Ours.
			{"", "POST", "/db?batch=ok", `{"_id":"f"}`, "", 201, ok("f", "1-x")}, // Ours.
		}},
		{"_bulk_docs", []step{
			{"", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"a"},{"_id":"a"}]}`, "", 201, `[{"ok":true,"id":"a","rev":"1-x"},{"id":"a","error":"conflict","reason":"Document update conflict."}]`},
			{"", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"b"},"x"]}`, "", 400, fail("bad_request", "Document must be a JSON object")},
			{"", "GET", "/db/b", "", "", 404, missing},
			{"", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"b","_rev":"1-b"}],"new_edits":false}`, "", 201, `[]`},
			{"", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"b"}],"new_edits":false}`, "", 400, fail("doc_validation", "When `new_edits: false`, the document needs `_rev` or `_revisions` specified")},
			{"", "POST", "/db/_bulk_docs", `{"docs":[],"all_or_nothing":true}`, "", 417, fail("not_implemented", "all_or_nothing is not supported")},
		}},
		{"revisions", []step{
			{"", "PUT", "/db/a?new_edits=false", `{"_revisions":{"start":2,"ids":["b","a"]}}`, "", 201, ok("a", "2-b")},
			{"", "PUT", "/db/a?new_edits=false", `{"_revisions":{"start":2,"ids":["c","a"]}}`, "", 201, ok("a", "2-c")},
			{"", "PUT", "/db/a?new_edits=false", `{"_rev":"9-z","_deleted":true}`, "", 201, ok("a", "9-z")},
			{"", "GET", "/db/a", "", "", 200, `{"_id":"a","_rev":"2-c"}`},
			{"", "GET", "/db/a?open_revs=all", "", "", 200, `[{"ok":{"_id":"a","_rev":"2-c"}},{"ok":{"_id":"a","_rev":"2-b"}},{"ok":{"_id":"a","_rev":"9-z","_deleted":true}}]`},
			{"", "GET", `/db/a?open_revs=["1-a"]`, "", "", 200, `[{"missing":"1-a"}]`},
			{"", "GET", "/db/a?rev=1-a", "", "", 404, missing},
			{"", "GET", "/db/a?rev=1-a&latest=true", "", "", 200, `{"_id":"a","_rev":"2-c"}`},
			{"", "GET", "/db/a?revs_info=true", "", "", 200, `{"_id":"a","_rev":"2-c","_revs_info":[{"rev":"2-c","status":"available"},{"rev":"1-a","status":"missing"}]}`},
			{"", "POST", "/db/_bulk_get", `{"docs":[{"id":"a","rev":"2-b"},{"id":"none"}]}`, "", 200, `{"results":[{"id":"a","docs":[{"ok":{"_id":"a","_rev":"2-b"}}]},{"id":"none","docs":[{"error":{"id":"none","rev":"undefined","error":"not_found","reason":"missing"}}]}]}`},
			{"", "POST", "/db/_revs_diff", `{"a":["2-b","3-d"]}`, "", 200, `{"a":{"missing":["3-d"],"possible_ancestors":["2-c","2-b"]}}`},
			{"", "POST", "/db/_missing_revs", `{"a":["2-b","3-d"]}`, "", 200, `{"missing_revs":{"a":["3-d"]}}`},
		}},
		{"_all_docs", []step{
			{"", "PUT", "/db/a?new_edits=false", `{"_rev":"1-a"}`, "", 201, ok("a", "1-a")},
			{"", "PUT", "/db/a?new_edits=false", `{"_rev":"1-b"}`, "", 201, ok("a", "1-b")},
			{"", "PUT", "/db/b?new_edits=false", `{"_rev":"2-b","_deleted":true}`, "", 201, ok("b", "2-b")},
			{"", "POST", "/db/_all_docs", `{"keys":["b","c"]}`, "", 200, "{\"total_rows\":1,\"offset\":null,\"rows\":[\n{\"id\":\"b\",\"key\":\"b\",\"value\":{\"rev\":\"2-b\",\"deleted\":true}},\n{\"key\":\"c\",\"error\":\"not_found\"}\n]}"},
			{"", "GET", "/db/_all_docs?limit=-1", "", "", 400, fail("query_parse_error", `Invalid value for positive integer: "-1"`)},
			{"", "GET", "/db/_all_docs?include_docs=true&conflicts=true", "", "", 200, "{\"total_rows\":1,\"offset\":0,\"rows\":[\n{\"id\":\"a\",\"key\":\"a\",\"value\":{\"rev\":\"1-b\"},\"doc\":{\"_id\":\"a\",\"_rev\":\"1-b\",\"_conflicts\":[\"1-a\"]}}\n]}"},
		}},
		{"_local", []step{
			{"", "PUT", "/db/_local/a", `{}`, "", 201, ok("_local/a", "0-1")},
			{"", "PUT", "/db/_local/a", `{"_rev":"0-1"}`, "", 201, ok("_local/a", "0-2")},
			{"", "PUT", "/db/_local/a", `{}`, "", 201, ok("_local/a", "0-1")},
			{"", "PUT", "/db/_local/a", `{"_rev":"0-41"}`, "", 201, ok("_local/a", "0-42")},
			{"", "DELETE", "/db/_local/a", "", "", 200, ok("_local/a", "0-0")},
			{"", "GET", "/db/_changes", "", "", 200, feed(0, 0)},
		}},
		{"_changes", []step{
			{"", "PUT", "/db/a?new_edits=false", `{"_rev":"1-a"}`, "", 201, ok("a", "1-a")},
			{"", "PUT", "/db/a?new_edits=false", `{"_rev":"1-b"}`, "", 201, ok("a", "1-b")},
			{"", "GET", "/db/_changes?style=all_docs", "", "", 200, feed(2, 0, `{"seq":"2","id":"a","changes":[{"rev":"1-b"},{"rev":"1-a"}]}`)},
			{"", "GET", "/db/_changes?since=nonsense", "", "", 400, fail("bad_request", "Malformed sequence supplied in 'since' parameter.")},
			{"", "GET", "/db/_changes?feed=x", "", "", 400, fail("bad_request", "Supported `feed` types: normal, continuous, live, longpoll, eventsource")},
			{"", "GET", "/db/_changes?limit=0", "", "", 200, feed(0, 1)},
			{"", "GET", "/db/_changes?feed=longpoll&since=now&timeout=10", "", "", 200, feed(2, 0)},
			{"", "GET", "/db/_changes?feed=continuous&timeout=10", "", "", 200, change(2, "a", "1-b", "") + "\n" + `{"last_seq":"2","pending":0}`},
			{"", "GET", "/db/_changes?feed=eventsource&timeout=10", "", "", 200, "data: " + change(2, "a", "1-b", "") + "\nid: \"2\"\n"},
		}},
		{"attachments", []step{
			{"", "PUT", "/db/a", `{"_attachments":{"t":{"content_type":"text/plain","data":"aGk="},"o":{"data":"aGk="}}}`, "", 201, ok("a", "1-x")},
			{"", "GET", "/db/a/o", "", "Range: bytes=1-", 206, "i"},
			{"", "GET", "/db/a/t", "", "Range: bytes=1-", 200, "hi"},
			{"", "PUT", "/db/a?rev={a}", `{"_attachments":{"x":{"stub":true}}}`, "", 412, fail("missing_stub", "Invalid attachment stub in a for x")},
			{"", "PUT", "/db/a?rev={a}", `{"_attachments":{"o":{"stub":true}}}`, "", 201, ok("a", "2-x")},
			{"", "GET", "/db/a/t", "", "", 404, noAttachment},
			{"", "PUT", "/db/b", `{"_attachments":{"x":{"data":"%"}}}`, "", 400, fail("bad_request", `Attachment data of "x" is not base64`)},
			{"", "PUT", "/db/b", `{"_attachments":{"_x":{"data":""}}}`, "", 400, fail("bad_request", "Attachment name '_x' starts with prohibited character '_'")},
		}},
		{"_index and _find", []step{
			{"", "PUT", "/db/a", `{"n":1}`, "", 201, ok("a", "1-x")},
			{"", "PUT", "/db/b", `{}`, "", 201, ok("b", "1-x")},
			{"", "POST", "/db/_find", `{"selector":{"n":null},"fields":["_id"]}`, "", 200, docs(`"bookmark":"nil",` + noIndex)},
			{"", "POST", "/db/_find", `{"selector":{"n":{"$ne":7}},"fields":["_id"]}`, "", 200, docs(`"bookmark":"b",`+noIndex, "a")},
			{"", "POST", "/db/_find", `{"selector":{"n":{"$gt":0}},"sort":["n"]}`, "", 400, fail("no_usable_index", "No index exists for this sort, try indexing by the sort fields.")},
			{"", "POST", "/db/_find", `{"selector":{"n":{"$x":0}}}`, "", 400, fail("invalid_operator", "Invalid operator: $x")},
			{"", "POST", "/db/_find", `{"selector":{},"bookmark":"x"}`, "", 400, fail("invalid_bookmark", "Invalid bookmark value: x")},
			{"", "POST", "/db/_index", `{"index":{"fields":["n"]},"ddoc":"i","name":"n"}`, "", 200, `{"result":"created","id":"_design/i","name":"n"}`},
			{"", "POST", "/db/_index", `{"index":{"fields":["n"]},"ddoc":"i","name":"n"}`, "", 200, `{"result":"exists","id":"_design/i","name":"n"}`},
			{"", "POST", "/db/_index", `{"index":{"fields":["n"]},"type":"text"}`, "", 503, fail("required index service unavailable", "text")},
			{"", "POST", "/db/_find", `{"selector":{"n":{"$gt":0}},"fields":["_id"],"sort":["n"]}`, "", 200, docs(`"bookmark":"b"}`, "a")},
		}},
		{"_security and accounts", []step{
			{"", "GET", "/db/_security", "", "", 200, `{"members":{"roles":["_admin"]},"admins":{"roles":["_admin"]}}`},
			{"", "PUT", "/db/_security", `{"members":7}`, "", 400, fail("bad_request", "Invalid security object: admins and members must be objects with lists of names and roles")}, // Ours.
			{"nobody", "GET", "/db", "", "", 401, whoAreYou},
			{"stranger", "GET", "/db", "", "", 403, notYou},
			{"", "PUT", "/db/_security", `{"members":{"names":["webapp"]}}`, "", 200, okBody},
			{"webapp", "PUT", "/db/_design/d", `{}`, "", 403, notDBAdmin},
			{"webapp", "PUT", "/db/_security", `{}`, "", 401, notYourDatabase}, // Ours.
			{"webapp", "PUT", "/other", "", "", 401, notAdmin},
			{"webapp", "GET", "/_all_dbs", "", "", 401, notAdmin},
			{"webapp", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"_design/d"},{"_id":"x"}]}`, "", 201, `[{"id":"_design/d","error":"forbidden","reason":"You are not a db or server admin."},{"ok":true,"id":"x","rev":"1-x"}]`},
		}},
		{"other methods", []step{
			{"", "PATCH", "/db/a", "", "", 405, fail("method_not_allowed", "Only COPY,DELETE,GET,HEAD,PUT allowed")},
			{"", "PATCH", "/db/_changes", "", "", 405, fail("method_not_allowed", "Only GET,HEAD,POST allowed")},
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			n.do("admin", "DELETE", "/db", "")
			n.admin(201, "PUT", "/db", "")
			m := *n
			m.t = t
			m.tell(row.steps)
		})
	}
}

// Keys sort as CouchDB sorts them.
func TestCollation(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(200, "POST", "/db/_index", `{"index":{"fields":["k"]},"ddoc":"i","name":"k"}`)
	keys := []string{`null`, `false`, `true`, `-1`, `0`, `0.2`, `0.5`, `"_"`, `"1"`, `"a"`, `"A"`, `"aa"`, `"b"`, `"B"`, `"é"`, `[]`, `["a"]`, `["b"]`, `{}`, `{"a":1}`}
	for i := range keys {
		j := (i*7 + 3) % len(keys) // In some order.
		n.admin(201, "PUT", fmt.Sprintf("/db/k%02d", j), `{"k":`+keys[j]+`}`)
	}
	a := n.admin(200, "POST", "/db/_find", `{"selector":{"k":{"$gte":null}},"sort":["k"],"fields":["k"],"limit":100}`)
	if got, want := a.body, "{\"docs\":[\n{\"k\":"+strings.Join(keys, "},\n{\"k\":")+"}\n]"; !strings.HasPrefix(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A long poll shows at once that it has begun, and that it lives.
func TestLongpollBegins(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	lines, cancel := n.follow("/db/_changes?feed=longpoll&since=now&heartbeat=100")
	defer cancel()
	for i, want := range []string{`{"results":[`, "", ""} {
		select {
		case got := <-lines:
			if got != want {
				t.Errorf("line %d is %q, want %q", i, got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no line %d in 20 s", i)
		}
	}
}
