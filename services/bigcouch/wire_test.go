package bigcouch_test

import (
	"strings"
	"testing"
)

const (
	okBody     = `{"ok":true}`
	noDatabase = `{"error":"not_found","reason":"Database does not exist."}`
	missing    = `{"error":"not_found","reason":"missing"}`
	deleted    = `{"error":"not_found","reason":"deleted"}`
	conflict   = `{"error":"conflict","reason":"Document update conflict."}`
	notAdmin   = `{"error":"unauthorized","reason":"You are not a server admin."}`
	badJSON    = `{"error":"bad_request","reason":"invalid UTF-8 JSON"}`
	notJSON    = `{"error":"bad_content_type","reason":"Content-Type must be application/json"}`
)

func illegalName(name string) string {
	return `{"error":"illegal_database_name","reason":"Name: '` + name + `'. Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter."}`
}

func TestServer(t *testing.T) {
	n := start(t, t.TempDir())
	n.tell([]step{
		{"nobody", "GET", "/", "", "", 200, `{"couchdb":"Welcome","version":"3.3.3","features":[],"vendor":{"name":"LEAP bigcouch"}}`},
		{"nobody", "HEAD", "/_up", "", "", 200, ""},
		{"nobody", "GET", "/_up", "", "", 200, `{"status":"ok"}`},
		{"nobody", "POST", "/_up", "", "", 405, `{"error":"method_not_allowed","reason":"Only GET,HEAD allowed"}`},
		{"nobody", "GET", "/_uuids?count=2", "", "", 200, `{"uuids":["y","y"]}`},
		{"nobody", "GET", "/_uuids?count=-1", "", "", 400, `{"error":"query_parse_error","reason":"Invalid value for positive integer: \"-1\""}`},
		{"nobody", "GET", "/_uuids?count=1001", "", "", 400, `{"error":"bad_request","reason":"count parameter too large"}`},
		{"nobody", "GET", "/_all_dbs", "", "", 401, notAdmin},
		{"webapp", "GET", "/_all_dbs", "", "", 401, notAdmin},
		{"", "GET", "/_all_dbs", "", "", 200, `[]`},
		{"", "GET", "/?%zz", "", "", 400, `{"error":"bad_request","reason":"Invalid query string"}`},
		{"", "GET", "/?a;b", "", "", 400, `{"error":"bad_request","reason":"Invalid query string"}`},
	})
}

func TestDatabases(t *testing.T) {
	n := start(t, t.TempDir())
	n.tell([]step{
		{"nobody", "PUT", "/db", "", "", 401, notAdmin},
		{"webapp", "PUT", "/db", "", "", 401, notAdmin},
		{"", "PUT", "/db", "", "", 201, okBody},
		{"", "PUT", "/db", "", "", 412, `{"error":"file_exists","reason":"The database could not be created, the file already exists."}`},
		{"", "PUT", "/Db", "", "", 400, illegalName("Db")},
		{"", "PUT", "/1db", "", "", 400, illegalName("1db")},
		{"", "PUT", "/_db", "", "", 400, illegalName("_db")},
		{"", "PUT", "/d+b", "", "", 400, illegalName("d b")},
		{"", "PUT", "/q?q=0", "", "", 400, "{\"error\":\"bad_request\",\"reason\":\"The `q` parameter must be an integer greater than zero.\"}"},
		{"", "PUT", "/q?q=x", "", "", 400, "{\"error\":\"bad_request\",\"reason\":\"The `q` parameter must be an integer greater than zero.\"}"},
		{"", "PUT", "/a%2Fb%2B$(1)?q=8", "", "", 201, okBody},
		{"", "PUT", "/_users", "", "", 201, okBody},
		{"", "GET", "/_all_dbs", "", "", 200, `["_users","a/b+$(1)","db"]`},
		{"", "GET", "/_all_dbs?limit=1&skip=1", "", "", 200, `["a/b+$(1)"]`},
		{"", "GET", "/_all_dbs?descending=true&limit=1", "", "", 200, `["db"]`},
		{"", "GET", `/_all_dbs?start_key="b"`, "", "", 200, `["db"]`},
		{"", "HEAD", "/a%2Fb%2B$(1)", "", "", 200, ""},
		{"", "HEAD", "/none", "", "", 404, ""},
		{"", "GET", "/none", "", "", 404, noDatabase},
		{"", "GET", "/none/doc", "", "", 404, noDatabase},
		{"nobody", "GET", "/none", "", "", 404, noDatabase},
		{"", "PATCH", "/db", "", "", 405, `{"error":"method_not_allowed","reason":"Only DELETE,GET,HEAD,POST,PUT allowed"}`},
		{"", "POST", "/db/_ensure_full_commit", "", "Content-Type: text/plain", 415, notJSON},
		{"", "DELETE", "/db?rev=1-x", "", "", 400, `{"error":"bad_request","reason":"You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document instead?"}`},
		{"webapp", "DELETE", "/db", "", "", 401, notAdmin},
		{"", "DELETE", "/none", "", "", 404, noDatabase},
		{"", "PUT", "/db/doc", `{}`, "", 201, `{"ok":true,"id":"doc","rev":"1-x"}`},
		{"", "DELETE", "/db", "", "", 200, okBody},
		{"", "DELETE", "/db", "", "", 404, noDatabase},
		{"", "PUT", "/db", "", "", 201, okBody},
		{"", "GET", "/db/doc", "", "", 404, missing},
	})
	info := n.admin(200, "GET", "/db", "").plain()
	for _, member := range []string{
		`"db_name":"db"`, `"update_seq":"0"`, `"purge_seq":"0"`, `"doc_count":0`, `"doc_del_count":0`, `"props":{}`,
		`"sizes":{"file":0,"external":0,"active":0}`, `"cluster":{"q":1,"n":1,"w":1,"r":1}`, `"compact_running":false`, `"instance_start_time":"`,
	} {
		if !strings.Contains(info, member) {
			t.Errorf("info %s has no %s", info, member)
		}
	}
	full := n.admin(201, "POST", "/db/_ensure_full_commit", "")
	if !strings.HasPrefix(full.body, `{"ok":true,"instance_start_time":"`) {
		t.Errorf("_ensure_full_commit: %s", full.body)
	}
	if a := n.admin(201, "PUT", "/a%2Fc", ""); a.header.Get("Location") != "/a%2Fc" {
		t.Errorf("Location = %q", a.header.Get("Location"))
	}
	if a := n.do("admin", "PATCH", "/db", ""); a.header.Get("Allow") != "DELETE, GET, HEAD, POST, PUT" {
		t.Errorf("Allow = %q", a.header.Get("Allow"))
	}
}

func TestDocuments(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.tell([]step{
		{"", "PUT", "/db/a", `{"n":1, "s" : "é", "big":12345678901234567890, "f":1.0}`, "", 201, `{"ok":true,"id":"a","rev":"1-x"}`},
		{"", "GET", "/db/a", "", "", 200, `{"_id":"a","_rev":"1-x","n":1,"s":"é","big":12345678901234567890,"f":1.0}`},
		{"", "HEAD", "/db/a", "", "", 200, ""},
		{"", "GET", "/db/a?r=2", "", "", 200, `{"_id":"a","_rev":"1-x","n":1,"s":"é","big":12345678901234567890,"f":1.0}`},
		{"", "GET", "/db/a", "", `If-None-Match: "{a}"`, 304, ""},
		{"", "GET", "/db/a", "", `If-None-Match: "1-other"`, 200, `{"_id":"a","_rev":"1-x","n":1,"s":"é","big":12345678901234567890,"f":1.0}`},
		{"", "PUT", "/db/a", `{"n":2}`, "", 409, conflict},
		{"", "PUT", "/db/a?rev=1-967a00dff5e02add41819138abb3284d", `{"n":2}`, "", 409, conflict},
		{"", "PUT", "/db/a?rev=x", `{"n":2}`, "", 400, `{"error":"bad_request","reason":"Invalid rev format"}`},
		{"", "PUT", "/db/a", `{"_rev":5}`, "", 400, `{"error":"bad_request","reason":"Invalid rev format"}`},
		{"", "PUT", "/db/a?rev={a}", `{"_rev":"1-a"}`, "", 400, `{"error":"bad_request","reason":"Document rev from request body and query string have different values"}`},
		{"", "PUT", "/db/a?rev={a}", `{"n":2}`, "", 201, `{"ok":true,"id":"a","rev":"2-x"}`},
		{"", "PUT", "/db/a", `{"_rev":"{a}","n":3}`, "", 201, `{"ok":true,"id":"a","rev":"3-x"}`},
		{"", "PUT", "/db/a", `{"n":4}`, `If-Match: "{a}"`, 201, `{"ok":true,"id":"a","rev":"4-x"}`},
		{"", "PUT", "/db/a", `{"_id":"b","n":5}`, `If-Match: {a}`, 201, `{"ok":true,"id":"a","rev":"5-x"}`},
		{"", "GET", "/db/a?revs=true", "", "", 200, `{"_id":"a","_rev":"5-x","n":5,"_revisions":{"start":5,"ids":["y","y","y","y","y"]}}`},
		{"", "GET", "/db/a?rev=1-967a00dff5e02add41819138abb3284d", "", "", 404, missing},
		{"", "GET", "/db/a?rev=nonsense", "", "", 400, `{"error":"bad_request","reason":"Invalid rev format"}`},
		{"", "GET", "/db/a?revs=maybe", "", "", 400, `{"error":"query_parse_error","reason":"Invalid boolean parameter: \"maybe\""}`},
		{"", "GET", "/db/none", "", "", 404, missing},
		{"", "PUT", "/db/none?rev=1-a", `{}`, "", 409, conflict},
		{"", "DELETE", "/db/none", "", "", 404, missing},
		{"", "DELETE", "/db/a", "", "", 409, conflict},
		{"", "DELETE", "/db/a?rev={a}", "", "", 200, `{"ok":true,"id":"a","rev":"6-x"}`},
		{"", "GET", "/db/a", "", "", 404, deleted},
		{"", "DELETE", "/db/a", "", "", 404, deleted},
		{"", "PUT", "/db/a", `{"again":true}`, "", 201, `{"ok":true,"id":"a","rev":"7-x"}`},
		{"", "PUT", "/db/a?rev={a}", `{"_deleted":true,"why":"test"}`, "", 200, `{"ok":true,"id":"a","rev":"8-x"}`},
		{"", "PUT", "/db/b%2Fc+d%2Be", `{}`, "", 201, `{"ok":true,"id":"b/c d+e","rev":"1-x"}`},
		{"", "GET", "/db/b%2Fc%20d%2Be", "", "", 200, `{"_id":"b/c d+e","_rev":"1-x"}`},
		{"", "PUT", "/db/nul%00l", `{}`, "", 201, `{"ok":true,"id":"nul\u0000l","rev":"1-x"}`},
		{"", "PUT", "/db/_x", `{}`, "", 400, `{"error":"illegal_docid","reason":"Only reserved document ids may start with underscore."}`},
		{"", "PUT", "/db/%ff", `{}`, "", 400, `{"error":"illegal_docid","reason":"Document id must be valid UTF-8"}`},
		{"", "PUT", "/db/c", `{"_x":1}`, "", 400, `{"error":"doc_validation","reason":"Bad special document member: _x"}`},
		{"", "PUT", "/db/c", `[]`, "", 400, `{"error":"bad_request","reason":"Document must be a JSON object"}`},
		{"", "PUT", "/db/c", `{"a":}`, "", 400, badJSON},
		{"", "PUT", "/db/c", ``, "", 400, badJSON},
		{"", "PUT", "/db/c", `{"a":"\ud800"}`, "", 400, badJSON},
		{"", "PUT", "/db/c", "{\"a\":\"\xff\"}", "", 400, badJSON},
		{"", "PUT", "/db/c", `{"a":1,"b":"\ud83d\ude00","a":2}`, "Content-Type: text/plain", 201, `{"ok":true,"id":"c","rev":"1-x"}`},
		{"", "GET", "/db/c", "", "", 200, `{"_id":"c","_rev":"1-x","a":2,"b":"\ud83d\ude00"}`},
		{"", "POST", "/db", `{"n":1}`, "", 201, `{"ok":true,"id":"y","rev":"1-x"}`},
		{"", "POST", "/db", `{"_id":"p q"}`, "", 201, `{"ok":true,"id":"p q","rev":"1-x"}`},
		{"", "POST", "/db", `{"_id":"_bad"}`, "", 400, `{"error":"illegal_docid","reason":"Only reserved document ids may start with underscore."}`},
		{"", "POST", "/db", `{"_id":7}`, "", 400, `{"error":"illegal_docid","reason":"Document id must be a string"}`},
		{"", "POST", "/db", `{}`, "Content-Type: text/plain", 415, notJSON},
		{"", "PUT", "/db/m", `{}`, "Content-Type: multipart/related; boundary=x", 400, `{"error":"bad_request","reason":"Request body is not multipart/related that ends well"}`},
		{"", "COPY", "/db/c", "", "", 400, `{"error":"bad_request","reason":"Destination header is mandatory for COPY."}`},
		{"", "PATCH", "/db/c", "", "", 405, `{"error":"method_not_allowed","reason":"Only COPY,DELETE,GET,HEAD,PUT allowed"}`},
		{"", "PUT", "/db/_design/d", `{"views":{}}`, "", 201, `{"ok":true,"id":"_design/d","rev":"1-x"}`},
		{"", "GET", "/db/_design%2Fd", "", "", 200, `{"_id":"_design/d","_rev":"1-x","views":{}}`},
		{"", "GET", "/db/_design/d/_show/v", "", "", 404, `{"error":"not_found","reason":"missing handler"}`},
		{"", "GET", "/db/_design", "", "", 400, "{\"error\":\"illegal_docid\",\"reason\":\"Illegal document id `_design/`\"}"},
	})
	a := n.admin(201, "POST", "/db", `{"_id":"x/y"}`)
	if got := a.header.Get("Location"); got != "/db/x%2Fy" {
		t.Errorf("Location = %q", got)
	}
	if got, want := a.header.Get("ETag"), `"`+a.rev(t)+`"`; got != want {
		t.Errorf("ETag = %q, want %q", got, want)
	}
	// The same edit is the same revision, whatever the id.
	if b := n.admin(201, "POST", "/db", `{}`); b.rev(t) != a.rev(t) {
		t.Errorf("revisions of equal edits: %s, %s", a.rev(t), b.rev(t))
	}
}
