package bigcouch_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// rules is a validate_doc_update function that uses all it is given.
const rules = `function(newDoc, oldDoc, userCtx, secObj) {
	if (newDoc.nobody) throw {unauthorized: "log in"};
	if (newDoc.broken) newDoc.no.such;
	if (newDoc._deleted) { if (oldDoc && oldDoc.owner != userCtx.name) throw({forbidden: "not yours"}); return }
	if (!newDoc.owner) throw({forbidden: "no owner"});
	if (oldDoc && oldDoc.owner != newDoc.owner) throw({forbidden: "owner of " + oldDoc._id + " is " + oldDoc.owner});
	if (newDoc.owner == "me" && userCtx.name != "webapp") throw({forbidden: userCtx.db + " " + userCtx.name + " " + userCtx.roles.join() + " " + secObj.members.names});
	if (newDoc._attachments) for (var name in newDoc._attachments) if (/exe$/.test(name)) throw({forbidden: name});
}`

func validating(source string) string {
	data, err := json.Marshal(map[string]string{"validate_doc_update": source})
	if err != nil {
		panic(err)
	}
	return string(data)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(200, "PUT", "/db/_security", `{"members":{"names":["webapp"]},"admins":{"names":[]}}`)
	n.admin(201, "PUT", "/db/before", `{}`)
	n.admin(201, "PUT", "/db/_design/rules", validating(rules))
	refused := func(reason string) string { return `{"error":"forbidden","reason":"` + reason + `"}` }
	created := func(id string) string { return `{"ok":true,"id":"` + id + `","rev":"1-x"}` }
	n.tell([]step{
		{"webapp", "PUT", "/db/a", `{}`, "", 403, refused("no owner")},
		{"webapp", "PUT", "/db/a", `{"nobody":1}`, "", 401, `{"error":"unauthorized","reason":"log in"}`},
		{"webapp", "PUT", "/db/a", `{"broken":1}`, "", 500, `{"error":"unnamed_error","reason":"TypeError: Cannot read property 'such' of undefined"}`},
		{"webapp", "GET", "/db/a", "", "", 404, missing},
		{"webapp", "PUT", "/db/a", `{"owner":"me"}`, "", 201, created("a")},
		{"", "PUT", "/db/b", `{"owner":"me"}`, "", 403, refused("db admin _admin webapp")},
		{"webapp", "PUT", "/db/a?rev={a}", `{"owner":"you"}`, "", 403, refused("owner of a is me")},
		{"webapp", "PUT", "/db/a?rev={a}", `{"owner":"me","n":2}`, "", 201, `{"ok":true,"id":"a","rev":"2-x"}`},
		{"webapp", "PUT", "/db/a", `{"owner":"me"}`, "", 409, `{"error":"conflict","reason":"Document update conflict."}`},
		{"webapp", "PUT", "/db/a?rev=1-00000000000000000000000000000000", `{"owner":"me"}`, "", 409, `{"error":"conflict","reason":"Document update conflict."}`},
		{"webapp", "POST", "/db/", `{"_id":"p"}`, "", 403, refused("no owner")},
		{
			"webapp", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"x","owner":"you"},{"_id":"y"},{"_id":"z","owner":"you"}]}`, "", 201,
			`[{"ok":true,"id":"x","rev":"1-x"},{"id":"y","error":"forbidden","reason":"no owner"},{"ok":true,"id":"z","rev":"1-x"}]`,
		},
		{"webapp", "POST", "/db/_bulk_docs", `{"docs":[{"_id":"y"}]}`, "", 201, `[{"id":"y","error":"forbidden","reason":"no owner"}]`},
		{"webapp", "POST", "/db/_bulk_docs", `{"new_edits":false,"docs":[{"_id":"a","_rev":"3-y"},{"_id":"r","_rev":"1-y","owner":"you"}]}`, "", 201, `[{"id":"a","error":"forbidden","reason":"no owner"}]`},
		{"webapp", "POST", "/db/_bulk_docs", `{"new_edits":false,"docs":[{"_id":"r","owner":"he","_revisions":{"start":2,"ids":["z","y"]}}]}`, "", 201, `[{"id":"r","error":"forbidden","reason":"owner of r is you"}]`},
		{"webapp", "PUT", "/db/r?new_edits=false", `{"_rev":"2-z"}`, "", 403, refused("no owner")},
		{"webapp", "PUT", "/db/before/x.txt?rev={before}", "text", "", 403, refused("no owner")},
		{"webapp", "PUT", "/db/a/x.exe?rev={a}", "text", "", 403, refused("x.exe")},
		{"webapp", "PUT", "/db/a/x.txt?rev={a}", "text", "", 201, `{"ok":true,"id":"a","rev":"3-x"}`},
		{"webapp", "COPY", "/db/before", "", "Destination: copy", 403, refused("no owner")},
		{"", "DELETE", "/db/a?rev={a}", "", "", 403, refused("not yours")},
		{"webapp", "DELETE", "/db/a", "", "", 409, `{"error":"conflict","reason":"Document update conflict."}`},
		{"webapp", "PUT", "/db/_local/l", `{}`, "", 201, `{"ok":true,"id":"_local/l","rev":"0-1"}`},
		{"webapp", "PUT", "/db/_design/mine", `{}`, "", 403, `{"error":"forbidden","reason":"You are not a db or server admin."}`},
		{"", "PUT", "/db/_design/more", validating(`function() { throw {forbidden: "never"} }`), "", 201, created("_design/more")},
		{"webapp", "PUT", "/db/c", `{"owner":"you"}`, "", 403, refused("never")},
		{"", "DELETE", "/db/_design/more?rev={_design/more}", "", "", 200, `{"ok":true,"id":"_design/more","rev":"2-x"}`},
		{"webapp", "PUT", "/db/c", `{"owner":"you"}`, "", 201, created("c")},
	})
}

// A repeated write has the first one's answer, although the function would not
// have it a second time.
func TestValidateRepeated(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/db/_design/rules", validating(`function(newDoc, oldDoc) { if (newDoc.n && !oldDoc && newDoc.n > 1) throw({forbidden: "no"}) }`))
	rev := n.admin(201, "PUT", "/db/a", `{"n":1}`).rev(t)
	const op = "X-Leap-Op: 0123456789abcdef"
	first := n.admin(201, "PUT", "/db/a?rev="+rev, `{"n":1,"again":true}`, op)
	if again := n.admin(201, "PUT", "/db/a?rev="+rev, `{"n":1,"again":true}`, op); again.body != first.body {
		t.Errorf("repeated: %s, first %s", again.body, first.body)
	}
	n.admin(409, "PUT", "/db/a?rev="+rev, `{"n":1,"again":true}`)
}

// Of writers that race for one revision one wins, and each version that is
// there was allowed as an edit of the one before it.
func TestValidateRace(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/db/_design/rules", validating(`function(newDoc, oldDoc) {
		if (newDoc.n != (oldDoc ? oldDoc.n : 0) + 1) throw({forbidden: "not the next"})
	}`))
	n.admin(201, "PUT", "/db/a", `{"n":1}`)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				a := n.do("admin", "GET", "/db/a", "")
				var doc struct {
					Rev string `json:"_rev"`
					N   int    `json:"n"`
				}
				if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
					t.Error(err)
					return
				}
				a = n.do("admin", "PUT", "/db/a?rev="+doc.Rev, fmt.Sprintf(`{"n":%d}`, doc.N+1))
				if a.status != 201 && a.status != 409 {
					t.Errorf("write: %d %s", a.status, a.body)
				}
			}
		})
	}
	wg.Wait()
	var doc struct {
		Rev string `json:"_rev"`
		N   int    `json:"n"`
	}
	if err := json.Unmarshal([]byte(n.admin(200, "GET", "/db/a", "").body), &doc); err != nil {
		t.Fatal(err)
	}
	if gen, _, _ := strings.Cut(doc.Rev, "-"); gen != fmt.Sprint(doc.N) {
		t.Errorf("revision %s has n %d", doc.Rev, doc.N)
	}
}

func TestScriptFilters(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	design, err := json.Marshal(map[string]any{
		"filters": map[string]string{
			"type":   `function(doc, req) { return doc.type == req.query.type && req.userCtx.name == "admin" && req.method == "GET" }`,
			"gone":   `function(doc, req) { return doc._deleted }`,
			"throws": `function(doc, req) { return doc.no.such }`,
			"loop":   `function(doc, req) { for (;;) {} }`,
			"body":   `function(doc, req) { return doc.type == JSON.parse(req.body).type }`,
		},
		"views": map[string]any{
			"typed": map[string]string{"map": `function(doc) { if (doc.type) emit(null) }`},
			"all":   map[string]string{"map": "function(doc) {\n  if (doc['type'] == 'User') {\n    emit(doc._id, null);\n  }\n}"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	n.admin(201, "PUT", "/db/a", `{"type":"x"}`)
	n.admin(201, "PUT", "/db/_design/f", string(design))
	n.admin(201, "PUT", "/db/b", `{"type":"y"}`)
	n.admin(201, "PUT", "/db/c", `{}`)
	n.admin(201, "PUT", "/db/u", `{"type":"User"}`)
	n.admin(200, "DELETE", "/db/c?rev="+strings.Trim(n.admin(200, "HEAD", "/db/c", "").header.Get("ETag"), `"`), "")
	changes := func(ids ...string) string { return strings.Join(ids, " ") }
	for _, test := range []struct {
		method, query, body string
		status              int
		want                string // Ids, or an answer.
	}{
		{"GET", "filter=f/type&type=y", "", 200, changes("b")},
		{"GET", "filter=f/type&type=none", "", 200, changes()},
		{"GET", "filter=f/gone", "", 200, changes("c")},
		{"GET", "filter=f/gone&style=all_docs", "", 200, changes("c")},
		{"POST", "filter=f/body", `{"type":"x"}`, 200, changes("a")},
		{"GET", "filter=_view&view=f/typed", "", 200, changes("a", "b", "u")},
		{"GET", "filter=_view&view=f/all&include_docs=true", "", 200, changes("u")},
		{"GET", "filter=_view&view=f/typed&descending=true&limit=2", "", 200, changes("u", "b")},
		{"GET", "filter=_view&view=f/none", "", 404, `{"error":"not_found","reason":"missing_named_view"}`},
		{"GET", "filter=_view&view=f", "", 400, "{\"error\":\"bad_request\",\"reason\":\"`view` must be of the form `designname/viewname`\"}"},
		{"GET", "filter=f/none", "", 404, `{"error":"not_found","reason":"missing json key: none"}`},
		{"GET", "filter=none/f", "", 404, missing},
		{"GET", "filter=f", "", 400, "{\"error\":\"bad_request\",\"reason\":\"filter parameter must be of the form `designname/filtername`\"}"},
		{"GET", "filter=f/throws", "", 500, `{"error":"unnamed_error","reason":"TypeError: Cannot read property 'such' of undefined"}`},
		{"GET", "filter=f/loop", "", 500, `{"error":"os_process_error","reason":"A function of a design document was stopped: the function took too long"}`},
	} {
		a := n.do("admin", test.method, "/db/_changes?"+test.query, test.body)
		got := a.body
		if a.status == 200 {
			var v struct{ Results []struct{ ID string } }
			if err := json.Unmarshal([]byte(a.body), &v); err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, r := range v.Results {
				ids = append(ids, r.ID)
			}
			got = changes(ids...)
		}
		if a.status != test.status || got != test.want {
			t.Errorf("%s: %d %s, want %d %s", test.query, a.status, got, test.status, test.want)
		}
	}
}
