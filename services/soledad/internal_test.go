package soledad

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// FuzzToken: a header that is understood has one form.
func FuzzToken(f *testing.F) {
	f.Add("Token " + base64.StdEncoding.EncodeToString([]byte("uuid:token")))
	f.Add("token dTp0")
	f.Add("Token ")
	f.Add("Token dTo=")
	f.Fuzz(func(t *testing.T, header string) {
		user, token, ok := parseToken(header)
		if !ok {
			return
		}
		if !validName(user) || token == "" {
			t.Fatalf("%q: user %q, token %q", header, user, token)
		}
		u, k, ok := parseToken("Token " + base64.StdEncoding.EncodeToString([]byte(user+":"+token)))
		if u != user || k != token || !ok && len(header) < maxToken-10 {
			t.Errorf("%q is %q and %q; written again %q and %q", header, user, token, u, k)
		}
	})
}

// FuzzPath: a path that names somebody's resource names it in one way.
func FuzzPath(f *testing.F) {
	for _, p := range []string{
		"/", "/robots.txt", "/shared", "/shared/doc/x", "/user-a/sync-from/b", "/user-a/doc/keyring", "/user-a/notify",
		"/user-a/incoming", "/user-a/incoming/x", "/blobs/a/", "/blobs/a", "/blobs/a/b", "/stream/a/", "/user-a/../b", "/user-/notify", "//",
	} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := parsePath(path)
		base := ""
		switch got.resource {
		case none, root, robots, sharedDB:
			return
		case sharedDoc:
			base = "/shared/doc/" + got.name
		case syncFrom:
			base = "/user-" + got.user + "/sync-from/" + got.name
		case keyringDoc:
			base = "/user-" + got.user + "/doc/keyring"
		case notify:
			base = "/user-" + got.user + "/notify"
		case queue:
			base = "/user-" + got.user + "/incoming"
		case queueEntry:
			base = "/user-" + got.user + "/incoming/" + got.name
		case blobList:
			base = "/blobs/" + got.user
		case blob:
			base = "/blobs/" + got.user + "/" + got.name
		case blobStream:
			base = "/stream/" + got.user
		}
		// The leading slash is the only thing that may be missing, a closing one
		// the only thing that may be too much.
		if strings.Trim(path, "/") != strings.Trim(base, "/") || strings.Contains(got.name, "/") || got.user == "" && got.resource != sharedDoc {
			t.Errorf("%q is %+v", path, got)
		}
	})
}

// FuzzManifest: the first line of an upload.
func FuzzManifest(f *testing.F) {
	for _, line := range []string{`[]`, `[["a", 1]]`, `[["a", 1.5]]`, `[["a"]]`, `[["a", -1]]`, `[["a", 1e300]]`, `[[1, "a"]]`, `null`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		items, err := parseManifest([]byte(line), 1000)
		for _, it := range items {
			if err != nil || it.size < 0 || it.size > 1000 || !validName(it.id) {
				t.Errorf("%q has %+v, %v", line, it, err)
			}
		}
	})
}

func TestAcceptsGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "deflate, gzip": true, "gzip;q=0": false, "gzip; q=0.0": false,
		"gzip;q=0.5": true, "br;q=1, gzip; q = 1": true, "xgzip": false, "*": false,
	} {
		if got := acceptsGzip([]string{header}); got != want {
			t.Errorf("%q: %t", header, got)
		}
	}
}

// TestExchanges: what is remembered, for how long, and how much of it.
func TestExchanges(t *testing.T) {
	var e exchanges
	now := time.Unix(1e9, 0)
	id := func(n int) exchangeID { return exchangeID{"u", "r", fmt.Sprint(n)} }
	e.remember(id(1), seen{"D-1": 5}, now)
	if s := e.recall(id(1), now.Add(time.Minute)); !s.covers("D-1", 5) || s.covers("D-1", 6) || s.covers("D-2", 1) {
		t.Errorf("recalled %v", s)
	}
	if s := e.recall(id(1), now.Add(4*time.Minute)); len(s) != 0 {
		t.Errorf("after three minutes of silence: %v", s)
	}
	if s := e.recall(id(2), now); len(s) != 0 {
		t.Errorf("of another exchange: %v", s)
	}
	e.remember(exchangeID{user: "u"}, seen{"D-1": 5}, now)
	if s := e.recall(exchangeID{user: "u"}, now); len(s) != 0 {
		t.Errorf("without id: %v", s)
	}
	for i := range maxExchanges + 10 {
		e.remember(id(i), seen{"D-1": i}, now.Add(time.Duration(i)*time.Millisecond))
	}
	if len(e.by) != maxExchanges || e.total != maxExchanges {
		t.Errorf("%d exchanges with %d documents", len(e.by), e.total)
	}
	if e.by[id(0)] != nil || e.by[id(maxExchanges+9)] == nil {
		t.Error("not the oldest was forgotten")
	}
	big := seen{}
	for i := range maxSeenEach + 100 {
		big.note(strconv.Itoa(i), i)
	}
	big.note("0", 7)
	if len(big) != maxSeenEach || !big.covers("0", 7) {
		t.Errorf("%d documents in one exchange", len(big))
	}
	for n := range 5 { // Four of the largest are all there is room for.
		e.remember(id(-10-n), big, now.Add(time.Duration(10+n)*time.Second))
	}
	if len(e.by) != 4 || e.total != maxSeen || e.by[id(-10)] != nil {
		t.Errorf("%d exchanges with %d documents", len(e.by), e.total)
	}
	e.remember(id(-2), seen{"D": 1}, now.Add(10*time.Minute))
	if len(e.by) != 1 || e.total != 1 {
		t.Errorf("after ten minutes: %d exchanges with %d documents", len(e.by), e.total)
	}
}
