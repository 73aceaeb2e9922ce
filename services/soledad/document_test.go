package soledad_test

import (
	"strings"
	"testing"

	"leap.example/services/protocol/u1db"
)

// step is one request to a document and what it answers.
type step struct {
	method, path, body string
	status             int
	want               string
	rev                string // Of the header; "-": not looked at.
}

func (s *site) walk(steps []step) {
	s.t.Helper()
	for i, st := range steps {
		a := s.do(st.method, st.path, st.body)
		if a.status != st.status || a.body != st.want {
			s.t.Errorf("%d: %s %s: got %d %s\nwant %d %s", i, st.method, st.path, a.status, a.body, st.status, st.want)
		}
		if got := a.header.Get(u1db.HeaderRev); st.rev != "-" && got != st.rev {
			s.t.Errorf("%d: %s %s: revision %q, want %q", i, st.method, st.path, got, st.rev)
		}
		if _, there := a.header[u1dbConflicts]; st.method == "GET" && (!there || a.header.Get(u1db.HeaderConflicts) != "false") {
			s.t.Errorf("%d: %s %s: conflicts are %q", i, st.method, st.path, a.header.Values(u1db.HeaderConflicts))
		}
	}
}

const u1dbConflicts = "X-U1db-Has-Conflicts"

func TestShared(t *testing.T) {
	s := start(t, nil)
	const doc, us = "/shared/doc/c44eaa414c269adf99abe63314df0f6236fdc9c491d1c351e6e9e981fce8e2d9", "c5056143546bdbad6609d7ed064f102a"
	s.walk([]step{
		{"GET", doc, "", 404, `{"error":"document does not exist"}`, ""},
		{"GET", doc + "?include_deleted=true", "", 404, `{"error":"document does not exist"}`, ""},
		{"DELETE", doc + "?old_rev=x:1", "", 404, `{"error":"document does not exist"}`, "-"},
		{"PUT", doc + "?old_rev=x:1", `{}`, 409, `{"error":"revision conflict"}`, "-"},
		{"PUT", doc, `not json`, 400, `{"error":"bad request"}`, "-"},
		{"PUT", doc, `[1]`, 400, `{"error":"bad request"}`, "-"},
		{"PUT", doc, `{} {}`, 400, `{"error":"bad request"}`, "-"},
		{"PUT", doc, "", 400, `{"error":"bad request"}`, "-"},
		{"PUT", doc, `{"a":"` + strings.Repeat("x", 64<<10) + `"}`, 403, `{"error":"document too big"}`, "-"},
		{"PUT", doc, "{\"version\": 2,\r\n \"secrets\": \"a b\\n\"}", 201, `{"rev":"` + us + `:1"}`, "-"},
		{"GET", doc, "", 200, `{"version":2,"secrets":"a b\n"}`, us + ":1"},
		{"PUT", doc, `{}`, 409, `{"error":"revision conflict"}`, "-"},
		{"PUT", doc + "?old_rev=" + us + ":1", `{"b":2}`, 200, `{"rev":"` + us + `:2"}`, "-"},
		{"PUT", doc + "?old_rev=" + us + ":1", `{"c":3}`, 409, `{"error":"revision conflict"}`, "-"},
		{"GET", doc, "", 200, `{"b":2}`, us + ":2"},
		{"DELETE", doc, "", 409, `{"error":"revision conflict"}`, "-"},
		{"DELETE", doc + "?old_rev=" + us + ":2", "", 200, `{"rev":"` + us + `:3"}`, "-"},
		{"DELETE", doc + "?old_rev=" + us + ":3", "", 404, `{"error":"document already deleted"}`, "-"},
		{"GET", doc, "", 404, `{"error":"document does not exist"}`, ""},
		{"GET", doc + "?include_deleted=true", "", 404, `{"error":"document deleted"}`, us + ":3"},
		{"PUT", doc, `{"d":4}`, 201, `{"rev":"` + us + `:4"}`, "-"},
		{"GET", doc, "", 200, `{"d":4}`, us + ":4"},
	})
}

func TestKeyring(t *testing.T) {
	s := start(t, nil)
	const doc = "/user-" + alice + "/doc/keyring"
	us, _, _ := s.state()
	s.walk([]step{
		{"GET", doc, "", 404, `{"error":"document does not exist"}`, ""},
		{"PUT", doc + "?old_rev=x:1", `{}`, 409, `{"error":"revision conflict"}`, "-"},
		{"PUT", doc, `nonsense`, 400, `{"error":"bad request"}`, "-"},
		{"PUT", doc, `{"wrap":1}`, 201, `{"rev":"` + us + `:1"}`, "-"},
		{"GET", doc, "", 200, `{"wrap":1}`, us + ":1"},
		{"PUT", doc, `{"wrap":2}`, 409, `{"error":"revision conflict"}`, "-"},
		{"PUT", doc + "?old_rev=" + us + ":1", `{"wrap":2}`, 200, `{"rev":"` + us + `:2"}`, "-"},
	})
	s.want("deleting it", s.do("DELETE", doc, nil), 405, "Method Not Allowed\n")
	// A device meets it in its sync.
	d := s.replica(device, false, s.http)
	if err := d.sync(); err != nil || d.docs["keyring"].Content != `{"wrap":2}` {
		t.Errorf("synced: %+v, %v", d.docs, err)
	}
	auth := header("Authorization: " + authorization(bob, "bob-token"))
	for _, method := range []string{"GET", "PUT"} {
		s.want(method+" without database", s.do(method, "/user-"+bob+"/doc/keyring", `{}`, auth), 404, `{"error":"database does not exist"}`)
	}
}
