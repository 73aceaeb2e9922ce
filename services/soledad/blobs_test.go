package soledad_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"

	"leap.example/services/soledad"
)

const (
	blobPath = "/blobs/" + alice + "/"
	streamTo = "/stream/" + alice + "/"
)

func tag(body string) string {
	return base64.URLEncoding.EncodeToString([]byte(body[max(0, len(body)-16):]))
}

func TestBlobs(t *testing.T) {
	s := start(t, nil)
	body := "preamble ciphertext" + "0123456789abcdef"
	const invalid, missing = `{"error":"bad request"}`, "Blob doesn't exist: b1"
	for i, st := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "", "", 200, "[]"},
		{"GET", "b1", "", 404, missing},
		{"GET", "b1?only_flags=1", "", 404, missing},
		{"POST", "b1", `["PENDING"]`, 404, missing},
		{"DELETE", "b1", "", 404, missing},
		{"PUT", "b1", body, 200, ""},
		{"PUT", "b1", "other", 409, "Blob already exists: b1"},
		{"GET", "b1", "", 200, body},
		{"GET", "b1?namespace=MX", "", 404, missing},
		{"PUT", "b1?namespace=MX", "in MX", 200, ""},
		{"GET", "b1?namespace=MX", "", 200, "in MX"},
		{"PUT", "b0", "second", 200, ""},
		{"GET", "", "", 200, `["b0","b1"]`},
		{"GET", "?order_by=date", "", 200, `["b1","b0"]`},
		{"GET", "?order_by=%2Bdate", "", 200, `["b1","b0"]`},
		{"GET", "?order_by=+date", "", 200, `["b1","b0"]`},
		{"GET", "?order_by=-date", "", 200, `["b0","b1"]`},
		{"GET", "?order_by=size", "", 400, invalid},
		{"GET", "?only_count=True", "", 200, `{"count":2}`},
		{"GET", "b1?only_flags=1", "", 200, "[]"},
		{"POST", "b1", `["PENDING","FAILED","PENDING"]`, 200, ""},
		{"GET", "b1?only_flags=True", "", 200, `["FAILED","PENDING"]`},
		{"POST", "b1", `["PENDING","BOGUS"]`, 406, `Invalid flag: "BOGUS"`},
		{"POST", "b1", `{}`, 400, invalid},
		{"GET", "?filter_flag=PENDING", "", 200, `["b1"]`},
		{"GET", "?filter_flag=PROCESSED", "", 200, `[]`},
		{"GET", "?filter_flag=PENDING&only_count=1", "", 200, `{"count":1}`},
		{"DELETE", "b1", "", 200, ""},
		{"DELETE", "b1", "", 404, missing},
		{"GET", "b1", "", 404, missing},
		{"GET", "", "", 200, `["b0"]`},
		{"GET", "?deleted=True", "", 200, `["b1"]`},
		{"GET", "?namespace=MX", "", 200, `["b1"]`},
		{"GET", "?namespace=a/b", "", 400, invalid},
		{"GET", "b%2F1", "", 401, "Unauthorized"},
		{"GET", "b.1", "", 401, "Unauthorized"},
	} {
		a := s.do(st.method, blobPath+st.path, st.body)
		if a.status != st.status || a.body != st.want {
			t.Errorf("%d: %s %s: got %d %q\nwant %d %q", i, st.method, st.path, a.status, a.body, st.status, st.want)
		}
		if got := a.header.Get("Tag"); a.status == 200 && a.body == body && got != tag(body) {
			t.Errorf("tag %q, want %q", got, tag(body))
		}
	}
}

func TestBlobRange(t *testing.T) {
	s := start(t, nil)
	s.want("put, in chunks", s.do("PUT", blobPath+"b", io.MultiReader(strings.NewReader("0123456789"))), 200, "")
	for _, tt := range []struct {
		rng     string
		status  int
		body    string
		content string
	}{
		{"bytes=0-3", 206, "0123", "bytes 0-3/10"},
		{"bytes=7-", 206, "789", "bytes 7-9/10"},
		{"bytes=-2", 206, "89", "bytes 8-9/10"},
		{"bytes=5-99", 206, "56789", "bytes 5-9/10"},
		{"bytes=10-", 416, "", "bytes */10"},
		{"bytes=4-2", 416, "", ""},
	} {
		a := s.do("GET", blobPath+"b", nil, header("Range: "+tt.rng))
		if a.status != tt.status || tt.body != "" && a.body != tt.body || a.header.Get("Content-Range") != tt.content {
			t.Errorf("%s: got %d %q %q", tt.rng, a.status, a.body, a.header.Get("Content-Range"))
		}
	}
}

func TestQuota(t *testing.T) {
	s := start(t, func(c *soledad.Config, _ *soledad.Stores) { c.BlobQuota, c.MaxBlob = 10, 8 })
	s.want("six", s.do("PUT", blobPath+"a", "123456"), 200, "")
	s.want("over", s.do("PUT", blobPath+"b", "12345"), 507, "Quota Exceeded!")
	s.want("over, in another namespace", s.do("PUT", blobPath+"b?namespace=MX", "12345"), 507, "Quota Exceeded!")
	s.want("there already", s.do("PUT", blobPath+"a", "123456"), 409, "Blob already exists: a")
	s.want("exactly", s.do("PUT", blobPath+"b", "1234"), 200, "")
	s.want("nothing more", s.do("PUT", blobPath+"c", "1"), 507, "Quota Exceeded!")
	s.want("room again", s.do("DELETE", blobPath+"a", nil), 200, "")
	s.want("and used", s.do("PUT", blobPath+"c", "1"), 200, "")
	s.want("too big", s.do("PUT", blobPath+"d", "123456789"), 403, `{"error":"document too big"}`)
	s.want("too big, in chunks", s.do("PUT", blobPath+"d", io.MultiReader(strings.NewReader("123456789"))), 403, `{"error":"document too big"}`)
	s.want("over, streamed", s.do("POST", streamTo+"?direction=upload", `[["e",3],["f",4]]`+"\n1234567"), 507, "Quota Exceeded!")
	s.want("what fitted", s.do("GET", blobPath, nil), 200, `["b","c","e"]`)
	s.want("nothing is held any more", s.do("PUT", blobPath+"g", "12"), 200, "")
	auth := header("Authorization: " + authorization(bob, "bob-token"))
	for _, st := range [][2]string{{"PUT", "/blobs/" + bob + "/x"}, {"GET", "/blobs/" + bob + "/"}, {"POST", "/stream/" + bob + "/"}} {
		s.want(st[0]+" without database", s.do(st[0], st[1], `[]`, auth), 404, `{"error":"database does not exist"}`)
	}
}

func TestBlobStream(t *testing.T) {
	s := start(t, nil)
	long, short := strings.Repeat("long body\n", 2000), "short"
	up := streamTo + "?direction=upload&namespace=ns"
	s.want("upload", s.do("POST", up, fmt.Sprintf(`[["a", %d], ["b", %d], ["empty", 0]]`+"\n%s%s", len(long), len(short), long, short)), 200, "")
	s.want("what is there already is passed over", s.do("POST", up, `[["b", 5], ["c", 1]]`+"\nSHORTc"), 200, "")
	down := func(ids ...string) answer {
		return s.do("POST", streamTo+"?direction=download&namespace=ns", `["`+strings.Join(ids, `","`)+`"]`)
	}
	var want strings.Builder
	for _, body := range []string{short, long, "", "c", short} {
		fmt.Fprintf(&want, "%08x%s %s", len(body), tag(body), body)
	}
	s.want("download", down("b", "a", "empty", "c", "b"), 200, want.String())
	s.want("the old form", s.do("POST", streamTo+"?namespace=ns", `["c"]`), 200, "00000001"+tag("c")+" c")
	s.want("missing", down("b", "zz"), 404, "Blob doesn't exist: zz")
	for _, tt := range []struct{ query, body string }{
		{"?direction=sideways", "[]"},
		{"?direction=download", "{}"},
		{"?direction=upload", `[["a", 5]]`},
		{"?direction=upload", `[["a", 5]]` + "\n123"},
		{"?direction=upload", `[["a/b", 1]]` + "\n1"},
		{"?direction=upload", `{}` + "\n"},
		{"?direction=upload", strings.Repeat("x", 300_000) + "\n"},
		{"?direction=download&namespace=.", "[]"},
	} {
		s.want(tt.query, s.do("POST", streamTo+tt.query, tt.body), 400, `{"error":"bad request"}`)
	}
	s.want("too big", s.do("POST", streamTo+"?direction=upload", `[["a", 999999999999]]`+"\n"), 403, `{"error":"document too big"}`)
}
