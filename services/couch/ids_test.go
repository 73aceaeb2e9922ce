package couch_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"leap.example/services/couch"
	"leap.example/services/protocol/u1db"
)

var safe = regexp.MustCompile(`^[A-Za-z0-9.:-][A-Za-z0-9_.:-]*$`)

func FuzzDocID(f *testing.F) {
	for _, s := range []string{"D-0123", "_local", "%2e%2e", "a:b", ".", "keyring", "d:x", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		key, err := couch.DocID(id)
		if (err == nil) != u1db.ValidDocID(id) {
			t.Fatalf("%q: %v", id, err)
		}
		if err != nil {
			return
		}
		if !safe.MatchString(key) || couch.U1DBID(key) != id {
			t.Fatalf("%q is stored as %q, which is %q", id, key, couch.U1DBID(key))
		}
	})
}

func FuzzIDs(f *testing.F) {
	f.Add("joe@example.org", "tokens_680")
	f.Add("_local@x", "tokens_0680")
	f.Add("a+b@x.org", "tokens_-1")
	f.Add("@", "tokens_")
	f.Fuzz(func(t *testing.T, address, name string) {
		if id, ok := couch.AddressID(address); ok && !safe.MatchString(id) {
			t.Fatalf("%q has the id %q", address, id)
		}
		if couch.SafeID(name) && !safe.MatchString(name) {
			t.Fatalf("%q is taken for safe", name)
		}
		if n, ok := couch.InRotation("tokens", name); ok && name != fmt.Sprintf("tokens_%d", n) {
			t.Fatalf("%q is taken for period %d", name, n)
		}
	})
}

// node answers every request with one body, and keeps the last query.
type answer struct {
	body  string
	since string
}

func (a *answer) RoundTrip(r *http.Request) (*http.Response, error) {
	a.since = r.URL.Query().Get("since")
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: int64(len(a.body)),
	}, nil
}

// The sequence of a feed is handed back as it came, whatever it is made of.
func FuzzFeed(f *testing.F) {
	for _, s := range []string{
		`{"results":[{"seq":"1-abc","id":"a","changes":[{"rev":"1-x"}]}],"last_seq":"1-abc","pending":0}`,
		`{"results":[{"seq":7,"id":"a","changes":[],"deleted":true}],"last_seq":7}`,
		`{"results":[],"last_seq":"0"}`,
		"{\"results\":[\n\n\n],\n\"last_seq\":\"3-g1AA_-\"}\n",
		`{"results":[`, `[]`, `{"last_seq":null}`, ``,
	} {
		f.Add(s)
	}
	plain := regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	f.Fuzz(func(t *testing.T, body string) {
		a := &answer{body: body}
		db := couch.OpenTransport(a)
		seqs, next, err := couch.Feed(t.Context(), db, "5-x")
		if a.since != "5-x" {
			t.Fatalf("since is %q", a.since)
		}
		if err != nil {
			return
		}
		if next == "" {
			t.Fatalf("%q: nothing to go on from", body)
		}
		var want struct {
			LastSeq json.RawMessage `json:"last_seq"`
		}
		if json.Unmarshal([]byte(body), &want) != nil || len(seqs) == 1000 {
			return
		}
		if last := string(bytes.Trim(want.LastSeq, `"`)); plain.MatchString(last) && last != "null" && next != last && strings.Count(body, "last_seq") == 1 {
			t.Fatalf("%q: goes on from %q", body, next)
		}
		_, _, _ = couch.Feed(t.Context(), db, next)
		if a.since != next {
			t.Fatalf("%q: asked from %q, want %q", body, a.since, next)
		}
	})
}
