package bigcouch

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"leap.example/services/bigcouch/store"
)

// Any path leads somewhere or is refused, and its elements escape back to it.
func FuzzSplitPath(f *testing.F) {
	for _, s := range []string{"/", "/db", "/a%2Fb/c+d%2Be", "//db//x/", "/db/_design/x/y", "/%zz", "/db/%00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		path, err := splitPath(s)
		if err != nil {
			return
		}
		for _, e := range path {
			if e == "" {
				t.Fatalf("%q has an empty element: %q", s, path)
			}
			_ = checkID(e)
		}
	})
}

// A body is taken apart without loss: the members that do not begin with "_"
// are what encoding/json sees.
func FuzzParseDocument(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":1,"b":[{"c":"}\""}],"a":2}`, `{"_id":"x","_rev":"1-a","_deleted":true}`, `{"_attachments":{"f":{"data":"aGk="},"g":{"stub":true}}}`,
		`{"_revisions":{"start":2,"ids":["a","b"]}}`, `{"\u0061":"\ud83d\ude00"}`, `{"x":"\ud800"}`, `[]`, `nul`, `{"a":1e400}`, ` { "a" : [ ] } `,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data, err := compact(data)
		if err != nil {
			return
		}
		d, err := parseDocument(data)
		if err != nil {
			return
		}
		var want, got map[string]json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("accepted %s: %v", data, err)
		}
		for name := range want {
			if strings.HasPrefix(name, "_") {
				delete(want, name)
			}
		}
		if err := json.Unmarshal(d.body, &got); err != nil || !utf8.Valid(d.body) {
			t.Fatalf("body %s of %s: %v", d.body, data, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("body of %s (-want +got):\n%s", data, diff)
		}
		if _, err := d.path(); err == nil && d.revisions != nil && len(d.revisions.IDs) == 0 {
			t.Fatal("a path without revisions")
		}
	})
}

// A sequence that we did not write is refused or is from the beginning, and
// never beyond the end.
// Taking an array apart by hand comes to what the library makes of it.
func FuzzParseBulk(f *testing.F) {
	for _, s := range []string{`{"docs":[]}`, `{"docs":[{"a":"]\\\""},[1,[2]],"}",null,-1.5e3]}`, `{"docs":{},"docs":[1]}`, `{"docs":null,"new_edits":false}`, `{"new_edits":1}`, `{}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data, err := compact(data)
		if err != nil || data[0] != '{' {
			return
		}
		got, err := parseBulk(data)
		m, mErr := exactly(data)
		if err != nil || mErr != nil {
			return // Of which members, TestBulk says.
		}
		var want []json.RawMessage
		_ = json.Unmarshal(m["docs"], &want) // Nil is what is expected then.
		if got.given != (m["docs"] != nil) || len(got.docs) != len(want) || (got.docs == nil) != (want == nil) {
			t.Fatalf("%q is %q, want %q", data, got.docs, want)
		}
		for i, w := range want {
			if string(got.docs[i]) != string(w) {
				t.Errorf("element %d is %q, want %q", i, got.docs[i], w)
			}
		}
	})
}

func FuzzParseSeq(f *testing.F) {
	db := &store.Database{ID: 0x0102030405060708}
	for _, s := range []string{"", "0", "now", seqString(db, 7), `"` + seqString(db, 9) + `"`, "7-", "7-AAAA", seqString(&store.Database{ID: 1}, 3), seqString(db, 1<<60)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		const now = 100
		n, err := parseSeq(db, s, now)
		if err != nil {
			return
		}
		if n > now {
			t.Fatalf("parseSeq(%q) = %d, beyond %d", s, n, now)
		}
		if back, err := parseSeq(db, seqString(db, n), now); err != nil || back != n {
			t.Fatalf("%d came back as %d, %v", n, back, err)
		}
	})
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"", "bytes=0-0", "bytes=-5", "bytes=5-", "bytes=9-3", "bytes=-", "bytes=a-b", "bytes=1-2,3-4", "lines=1-2", "bytes=99999999999999999999-"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, s string, size int64) {
		size &= 1<<40 - 1
		first, last, partial, err := parseRange(s, size)
		if err != nil || !partial {
			return
		}
		if first < 0 || last >= size || first > last {
			t.Fatalf("parseRange(%q, %d) = %d, %d", s, size, first, last)
		}
	})
}

// Whatever a security object says, a server administrator may do everything,
// and nobody in particular is never an administrator.
func FuzzParseSecurity(f *testing.F) {
	for _, s := range []string{``, defaultSecurity, `{}`, `[]`, `{"members":{"names":["a"],"roles":null}}`, `{"admins":7}`, `{"MEMBERS":{"names":["a"]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseSecurity(data)
		if err != nil {
			return
		}
		if !s.admin(user{Name: "root", admin: true}) || !s.member(user{Name: "root", admin: true}) {
			t.Fatalf("%s shuts the administrator out", data)
		}
		if s.admin(user{}) {
			t.Fatalf("%s makes everybody an administrator", data)
		}
	})
}

func TestLoneSurrogate(t *testing.T) {
	for s, want := range map[string]bool{
		`"a"`: false, `"\ud83d\ude00"`: false, `"\ud83d"`: true, `"\ude00"`: true, `"\ud83dx"`: true, `"\ud83d\u0041"`: true,
		`"\\ud83d"`: false, `"\\\ud83d"`: true, `"\uD83D\uDE00\n"`: false, `"\u00e9"`: false, `"\ud83d\n"`: true,
	} {
		if got := loneSurrogate([]byte(s)); got != want {
			t.Errorf("loneSurrogate(%s) = %v, want %v", s, got, want)
		}
	}
}

func TestProject(t *testing.T) {
	doc := map[string]any{"_id": "x", "a": map[string]any{"b": 1, "c": 2}, "d.e": 3, "f": []any{1}}
	for _, tt := range []struct {
		fields string
		want   string
	}{
		{`["_id"]`, `{"_id":"x"}`},
		{`["a.b"]`, `{"a":{"b":1}}`},
		{`["a.b","a.c"]`, `{"a":{"b":1,"c":2}}`},
		{`["a","none","a.none","f.x"]`, `{"a":{"b":1,"c":2}}`},
		{`["d\\.e"]`, `{"d.e":3}`},
		{`["f"]`, `{"f":[1]}`},
		{`[]`, `{}`},
	} {
		fields, err := parseFields(json.RawMessage(tt.fields))
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(project(doc, fields))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.fields, got, err, tt.want)
		}
	}
}

// Of two nodes that a request goes through the first alone speaks to browsers:
// a header that is there twice is as good as none.
func TestCORSOfPassedRequests(t *testing.T) {
	n := &node{cfg: Config{CORS: ConfigCORS{Origins: []string{"*"}}}}
	r := httptest.NewRequest(http.MethodGet, "/db", nil)
	r.Header.Set("Origin", "http://anywhere")
	for _, tt := range []struct {
		ctx  context.Context
		want string
	}{{t.Context(), "http://anywhere"}, {context.WithValue(t.Context(), fromPeer{}, true), ""}} {
		w := httptest.NewRecorder()
		c := &call{node: n, w: w, r: r.WithContext(tt.ctx)}
		if done := c.cors(); done || w.Header().Get("Access-Control-Allow-Origin") != tt.want {
			t.Errorf("allowed origin %q, want %q", w.Header().Get("Access-Control-Allow-Origin"), tt.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	var zero Config
	if c := zero.withDefaults(); c.MaxDocumentSize != 8_000_000 || c.CacheBytes != 16<<20 || c.MemTableBytes != 8<<20 {
		t.Errorf("defaults: %+v", c)
	}
}
