package bigcouch_test

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"

	"leap.example/services/bigcouch"
)

// related writes a body of multipart/related: a document and its attachments.
func related(doc string, parts ...string) string {
	var b strings.Builder
	b.WriteString("--x\r\nContent-Type: application/json\r\n\r\n" + doc)
	for _, p := range parts {
		b.WriteString("\r\n--x\r\n\r\n" + p)
	}
	b.WriteString("\r\n--x--")
	return b.String()
}

const relatedX = `Content-Type: multipart/related;boundary="x"`

func md5Digest(s string) string {
	sum := md5.Sum([]byte(s))
	return "md5-" + base64.StdEncoding.EncodeToString(sum[:])
}

func TestPutRelated(t *testing.T) {
	n := start(t, t.TempDir(), func(c *bigcouch.Config) { c.MaxAttachmentSize = 1 << 20 })
	n.admin(201, "PUT", "/db", "")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(bytes.Repeat([]byte("text "), 1000))
	z.Close()
	gz := packed.String()
	bad := func(reason string) string { return `{"error":"bad_request","reason":"` + reason + `"}` }
	notWhole := bad("Request body is not multipart/related that ends well")
	two := `{"n":1,"_attachments":{"a":{"follows":true,"length":5,"content_type":"text/plain"},"b":{"follows":true,"length":3,"digest":"` + md5Digest("two") + `"}}}`
	one := func(members string) string { return `{"_attachments":{"f":{"follows":true` + members + `}}}` }
	n.tell([]step{
		{"", "PUT", "/db/a", related(two, "first", "two"), relatedX, 201, `{"ok":true,"id":"a","rev":"1-x"}`},
		{"", "GET", "/db/a/a", "", "", 200, "first"},
		{"", "GET", "/db/a/b", "", "", 200, "two"},
		{"", "GET", "/db/a", "", "", 200, `{"_id":"a","_rev":"1-x","n":1,"_attachments":{"a":{"content_type":"text/plain","revpos":1,"digest":"` + md5Digest("first") + `","length":5,"stub":true},` +
			`"b":{"content_type":"application/octet-stream","revpos":1,"digest":"` + md5Digest("two") + `","length":3,"stub":true}}}`},
		{"", "PUT", "/db/a", related(two, "first", "two"), relatedX, 409, conflict},
		{"", "PUT", "/db/a?rev={a}", related(`{"_attachments":{"a":{"stub":true},"c":{"data":"aGk="},"d":{"follows":true}}}`, "dd"), relatedX, 201, `{"ok":true,"id":"a","rev":"2-x"}`},
		{"", "GET", "/db/a/a", "", "", 200, "first"},
		{"", "GET", "/db/a/c", "", "", 200, "hi"},
		{"", "GET", "/db/a/d", "", "", 200, "dd"},
		{"", "PUT", "/db/named", "--x\r\n\r\n" + two + "\r\n--x\r\nContent-Disposition: attachment; filename=\"b\"\r\n\r\ntwo\r\n--x\r\nContent-Disposition: attachment; filename=\"a\"\r\n\r\nfirst\r\n--x--", relatedX, 201, `{"ok":true,"id":"named","rev":"1-x"}`},
		{"", "GET", "/db/named/a", "", "", 200, "first"},
		{"", "PUT", "/db/slash", "--x\r\n\r\n" + `{"_attachments":{"y":{"follows":true},"d/y":{"follows":true}}}` + "\r\n--x\r\nContent-Disposition: attachment; filename=\"d/y\"\r\n\r\ndeep\r\n--x\r\nContent-Disposition: attachment; filename=\"y\"\r\n\r\nflat\r\n--x--", relatedX, 201, `{"ok":true,"id":"slash","rev":"1-x"}`},
		{"", "GET", "/db/slash/y", "", "", 200, "flat"},
		{"", "GET", "/db/slash/d/y", "", "", 200, "deep"},
		{"", "PUT", "/db/none", related(`{"n":1}`), relatedX, 201, `{"ok":true,"id":"none","rev":"1-x"}`},
		{"", "PUT", "/db/r?new_edits=false", related(`{"_rev":"3-c","_revisions":{"start":3,"ids":["c","b","a"]},"_attachments":{"f":{"follows":true,"revpos":2,"length":1}}}`, "x"), relatedX, 201, `{"ok":true,"id":"r","rev":"3-c"}`},
		// What another CouchDB sends packed is served unpacked.
		{"", "PUT", "/db/gz", related(one(fmt.Sprintf(`,"length":5000,"encoding":"gzip","encoded_length":%d,"digest":"%s"`, len(gz), md5Digest(gz))), gz), relatedX, 201, `{"ok":true,"id":"gz","rev":"1-x"}`},
		{"", "GET", "/db/gz/f", "", "", 200, strings.Repeat("text ", 1000)},
		{"", "PUT", "/db/x", related(one(fmt.Sprintf(`,"encoding":"gzip","encoded_length":%d`, len(gz)-8)), gz[:len(gz)-8]), relatedX, 400, bad("Attachment is not properly gzipped.")},
		{"", "PUT", "/db/x", related(one(`,"encoding":"gzip"`), "plain"), relatedX, 400, bad("Attachment is not properly gzipped.")},
		// Lies.
		{"", "PUT", "/db/x", related(one(`,"length":4`), "xyz"), relatedX, 400, bad("attachment shorter than expected")},
		{"", "PUT", "/db/x", related(one(`,"length":2`), "xyz"), relatedX, 400, bad("attachment longer than expected")},
		{"", "PUT", "/db/x", related(one(`,"length":3,"digest":"`+md5Digest("abc")+`"`), "xyz"), relatedX, 400, `{"error":"content_md5_mismatch","reason":"Possible message corruption."}`},
		{"", "PUT", "/db/x", related(one(`,"length":3`)), relatedX, 400, bad("attachment shorter than expected")},
		{"", "PUT", "/db/x", related(one(`,"length":3`), "xyz", "more"), relatedX, 400, bad("Request body has more parts than attachments that follow")},
		{"", "PUT", "/db/x", related(one(`,"length":-3`), "xyz"), relatedX, 400, bad(`Invalid attachment \"f\"`)},
		{"", "PUT", "/db/x", related(one(`,"length":99999999999`), "xyz"), relatedX, 413, `{"error":"attachment_too_large","reason":"f"}`},
		{"", "PUT", "/db/x", related(one(`,"length":"3"`), "xyz"), relatedX, 400, bad(`Invalid attachment \"f\"`)},
		{"", "PUT", "/db/x", related(one(""), strings.Repeat("x", 1<<20+1)), relatedX, 413, `{"error":"attachment_too_large","reason":"f"}`},
		{"", "PUT", "/db/x", related(`{"_attachments":{"f":{}}}`), relatedX, 400, bad(`Attachment \"f\" is neither a stub nor has data`)},
		{"", "PUT", "/db/x", related(`{"_attachments":{"f":{"stub":true}}}`), relatedX, 412, `{"error":"missing_stub","reason":"Invalid attachment stub in x for f"}`},
		{"", "PUT", "/db/x", related(`[]`), relatedX, 400, bad("Document must be a JSON object")},
		{"", "PUT", "/db/x", related(`{`), relatedX, 400, badJSON},
		{"", "PUT", "/db/x", related(two, "first", "two")[:200], relatedX, 400, notWhole},
		{"", "PUT", "/db/x", "", relatedX, 400, notWhole},
		{"", "PUT", "/db/x", "no boundary here", relatedX, 400, notWhole},
		{"", "PUT", "/db/x", related(`{}`), "Content-Type: multipart/related", 400, bad("Content-Type has no boundary")},
		{"", "PUT", "/db/x", one(`,"length":3`), "", 400, bad(`Attachment \"f\" follows nowhere`)},
		{"", "POST", "/db/_bulk_docs", `{"docs":[` + one(`,"length":3`) + `]}`, "", 400, bad(`Attachment \"f\" follows nowhere`)},
		{"", "GET", "/db/x", "", "", 404, missing},
	})
}

// parts reads an answer in parts: for each its header lines and content, in
// short.
func (a answer) parts(t *testing.T) (media string, parts []string) {
	t.Helper()
	media, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		t.Fatalf("Content-Type %q: %v", a.header.Get("Content-Type"), err)
	}
	r := multipart.NewReader(strings.NewReader(a.body+"\n"), params["boundary"])
	for {
		p, err := r.NextPart()
		if err == io.EOF {
			return media, parts
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		inner := answer{header: map[string][]string{"Content-Type": p.Header["Content-Type"]}, body: string(data)}
		if kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type")); kind == "multipart/related" {
			_, list := inner.parts(t)
			parts = append(parts, p.Header.Get("X-Doc-Id")+"["+strings.Join(list, " ")+"]")
			continue
		}
		head := ""
		if strings.Contains(p.Header.Get("Content-Type"), "error") {
			head = "error:"
		}
		if name := p.FileName(); name != "" {
			head = name + "(" + p.Header.Get("Content-Type") + "," + p.Header.Get("Content-Length") + "):"
		}
		parts = append(parts, head+hashes.ReplaceAllString(string(data), "$1-x"))
	}
}

func TestGetParts(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/db/a", `{"_attachments":{"old":{"data":"aGk=","content_type":"text/plain"}}}`)
	first := n.rev("a")
	n.admin(201, "PUT", "/db/a?rev="+first, `{"_attachments":{"old":{"stub":true},"n\"w":{"data":"bmV3"}}}`)
	n.admin(201, "PUT", "/db/b", `{"n":1}`)
	second := n.rev("a")

	att := func(gen int, media, content, how string) string {
		return fmt.Sprintf(`{"content_type":%q,"revpos":%d,"digest":%q,"length":%d,%q:true}`, media, gen, md5Digest(content), len(content), how)
	}
	stub, sent := att(1, "text/plain", "hi", "stub"), att(1, "text/plain", "hi", "follows")
	fresh := att(2, "application/octet-stream", "new", "follows")
	doc := func(old string) string {
		return `{"_id":"a","_rev":"2-x","_attachments":{"n\"w":` + fresh + `,"old":` + old + `}}`
	}
	whole := []string{doc(sent), `n"w(application/octet-stream,3):new`, "old(text/plain,2):hi"}
	inParts := "[" + strings.Join(whole, " ") + "]"
	for _, tt := range []struct {
		method, path, body, accept string
		media                      string
		want                       []string
	}{
		{"GET", "/db/a?attachments=true", "", "multipart/related", "multipart/related", whole},
		{"GET", "/db/a?attachments=true", "", "*/*", "multipart/related", whole},
		{"GET", `/db/a?atts_since=["` + first + `"]`, "", "multipart/*", "multipart/related", []string{doc(stub), whole[1]}},
		{"GET", `/db/a?atts_since=["1-other"]`, "", "multipart/related;q=1", "multipart/related", whole},
		{"GET", "/db/a?open_revs=all", "", "multipart/mixed", "multipart/mixed", []string{inParts}},
		{"GET", `/db/a?open_revs=["` + second + `","7-gone"]`, "", "*/*", "multipart/mixed", []string{inParts, `error:{"missing":"7-gone"}`}},
		{"GET", `/db/b?open_revs=all`, "", "multipart/mixed, application/json", "multipart/mixed", []string{`{"_id":"b","_rev":"1-x","n":1}`}},
		{
			"POST", "/db/_bulk_get", `{"docs":[{"id":"a"},{"id":"b"},{"id":"none"},{"id":"a","rev":"` + second + `","atts_since":["` + first + `"]}]}`, "multipart/mixed", "multipart/mixed",
			[]string{
				"a" + inParts, `{"_id":"b","_rev":"1-x","n":1}`, `error:{"id":"none","rev":"undefined","error":"not_found","reason":"missing"}`,
				"a[" + doc(stub) + " " + whole[1] + "]",
			},
		},
		{"POST", "/db/_bulk_get", `{"docs":[{"id":"b"}]}`, "multipart/related", "multipart/related", []string{`{"_id":"b","_rev":"1-x","n":1}`}},
	} {
		a := n.admin(200, tt.method, tt.path, tt.body, "Accept: "+tt.accept)
		media, parts := a.parts(t)
		if media != tt.media || strings.Join(parts, "\n") != strings.Join(tt.want, "\n") {
			t.Errorf("%s %s, Accept %s: %s\n%s\nwant %s\n%s", tt.method, tt.path, tt.accept, media, strings.Join(parts, "\n"), tt.media, strings.Join(tt.want, "\n"))
		}
	}
	n.tell([]step{
		{"", "GET", "/db/b?attachments=true", "", "Accept: multipart/related", 200, `{"_id":"b","_rev":"1-x","n":1}`},
		{"", "GET", `/db/a?atts_since=["` + second + `"]`, "", "Accept: multipart/related", 200, `{"_id":"a","_rev":"2-x","_attachments":{"n\"w":` + att(2, "application/octet-stream", "new", "stub") + `,"old":` + stub + `}}`},
		{"", "GET", `/db/a?atts_since=["` + first + `"]`, "", "", 200, `{"_id":"a","_rev":"2-x","_attachments":{"n\"w":{"content_type":"application/octet-stream","revpos":2,"digest":"` + md5Digest("new") + `","data":"bmV3"},"old":` + stub + `}}`},
		{"", "GET", `/db/a?atts_since=["x"]`, "", "", 400, `{"error":"bad_request","reason":"Invalid rev format"}`},
		{"", "GET", `/db/a?atts_since=1`, "", "", 400, `{"error":"bad_request","reason":"atts_since is not a list of revisions"}`},
		{"", "GET", `/db/a?open_revs=["x"]`, "", "Accept: multipart/mixed", 400, `{"error":"bad_request","reason":"Invalid rev format"}`},
		{"", "GET", `/db/b?local_seq=true`, "", "", 200, `{"_id":"b","_rev":"1-x","n":1,"_local_seq":3}`},
		{"", "POST", "/db/_bulk_get?rev=1-a", `{"docs":[]}`, "", 400, `{"error":"bad_request","reason":"\"rev\" query parameter is not acceptable"}`},
		{"", "POST", "/db/_bulk_get", `{"docs":[7,{},{"id":7},{"id":"b","atts_since":1},{"id":"b","atts_since":["x"]}]}`, "", 200, `{"results":[` +
			`{"id":null,"docs":[{"error":{"id":null,"rev":null,"error":"bad_request","reason":"document must be a JSON object"}}]},` +
			`{"id":null,"docs":[{"error":{"id":null,"rev":null,"error":"bad_request","reason":"document id missed"}}]},` +
			`{"id":null,"docs":[{"error":{"id":null,"rev":null,"error":"bad_request","reason":"document has a member of the wrong type"}}]},` +
			`{"id":"b","docs":[{"error":{"id":"b","rev":"","error":"bad_request","reason":"att_since value must be array of revs."}}]},` +
			`{"id":"b","docs":[{"error":{"id":"b","rev":"","error":"bad_request","reason":"Invalid rev format"}}]}]}`},
	})
}

func TestCopy(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	big := strings.Repeat("0123456789", 60_000)
	n.admin(201, "PUT", "/db/a", `{"n":1}`)
	n.admin(201, "PUT", "/db/a/big?rev="+n.rev("a"), big, "Content-Type: application/octet-stream")
	n.admin(201, "PUT", "/db/plain", `{"n":2}`)
	bad := func(reason string) string { return `{"error":"bad_request","reason":"` + reason + `"}` }
	n.tell([]step{
		{"", "COPY", "/db/a", "", "Destination: b", 201, `{"ok":true,"id":"b","rev":"1-x"}`},
		{"", "GET", "/db/b/big", "", "", 200, big},
		{"", "COPY", "/db/a", "", "Destination: b", 409, conflict},
		{"", "COPY", "/db/plain", "", "Destination: b?rev={b}", 201, `{"ok":true,"id":"b","rev":"2-x"}`},
		{"", "GET", "/db/b", "", "", 200, `{"_id":"b","_rev":"2-x","n":2}`},
		{"", "COPY", "/db/plain?rev={plain}", "", "Destination: c%2Fd%20e", 201, `{"ok":true,"id":"c/d e","rev":"1-x"}`},
		{"", "COPY", "/db/plain?rev=1-z", "", "Destination: e", 404, missing},
		{"", "COPY", "/db/none", "", "Destination: e", 404, missing},
		{"", "COPY", "/db/plain", "", "Destination: e?rev=x", 400, bad("Invalid rev format")},
		{"", "COPY", "/db/plain", "", "Destination: e?rev=1-a", 409, conflict},
		{"", "COPY", "/db/plain", "", "Destination: http://other/db/e", 400, bad("Destination URL must be relative.")},
		{"", "COPY", "/db/plain", "", "Destination: %zz", 400, bad("Destination header is not escaped well")},
		{"", "COPY", "/db/plain", "", "Destination: e?%zz", 400, bad("Destination header has an invalid query")},
		{"", "COPY", "/db/plain", "", "Destination: _e", 400, `{"error":"illegal_docid","reason":"Only reserved document ids may start with underscore."}`},
		{"", "COPY", "/db/plain", "", "Destination: _local/e", 201, `{"ok":true,"id":"_local/e","rev":"0-1"}`},
		{"", "COPY", "/db/a", "", "Destination: _local/e", 400, bad("Local documents have no attachments")},
		{"", "COPY", "/db/_local/e", "", "Destination: local", 201, `{"ok":true,"id":"local","rev":"1-x"}`},
		{"", "GET", "/db/local", "", "", 200, `{"_id":"local","_rev":"1-x","n":2}`},
		{"", "COPY", "/db/_local/e", "", "Destination: local", 409, conflict},
		{"", "COPY", "/db/_local/e", "", "Destination: _local/f", 201, `{"ok":true,"id":"_local/f","rev":"0-1"}`},
		{"", "COPY", "/db/_local/none", "", "Destination: e", 404, missing},
		{"", "COPY", "/db/_design/none", "", "Destination: e", 404, missing},
	})
	if a := n.admin(201, "COPY", "/db/plain", "", "Destination: x%2Fy"); a.header.Get("Location") != "/db/x%2Fy" || a.header.Get("ETag") != `"`+a.rev(t)+`"` {
		t.Errorf("Location %q, ETag %q", a.header.Get("Location"), a.header.Get("ETag"))
	}
	n.admin(200, "PUT", "/db/_security", `{"members":{"names":["webapp"]}}`)
	n.tell([]step{{"webapp", "COPY", "/db/plain", "", "Destination: _design/e", 403, notDBAdmin}})
}
