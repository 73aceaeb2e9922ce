package bigcouch_test

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"leap.example/services/bigcouch"
)

const noAttachment = `{"error":"not_found","reason":"Document is missing attachment"}`

func TestAttachments(t *testing.T) {
	n := start(t, t.TempDir(), func(c *bigcouch.Config) { c.MaxAttachmentSize = 1 << 20 })
	n.admin(201, "PUT", "/db", "")
	hi := `{"content_type":"text/plain","revpos":1,"digest":"md5-SfaKXIST7CwL9ImCHCH8Ow==","length":2,"stub":true}`
	n.tell([]step{
		{"", "PUT", "/db/a", `{"n":1,"_attachments":{"x":{"content_type":"text/plain","data":"aGk="}}}`, "", 201, `{"ok":true,"id":"a","rev":"1-x"}`},
		{"", "GET", "/db/a", "", "", 200, `{"_id":"a","_rev":"1-x","n":1,"_attachments":{"x":` + hi + `}}`},
		{"", "GET", "/db/a?attachments=true", "", "", 200, `{"_id":"a","_rev":"1-x","n":1,"_attachments":{"x":{"content_type":"text/plain","revpos":1,"digest":"md5-SfaKXIST7CwL9ImCHCH8Ow==","data":"aGk="}}}`},
		{"", "GET", "/db/a/x", "", "", 200, "hi"},
		{"", "HEAD", "/db/a/x", "", "", 200, ""},
		{"", "GET", "/db/a/x", "", `If-None-Match: "SfaKXIST7CwL9ImCHCH8Ow=="`, 304, ""},
		{"", "GET", "/db/a/none", "", "", 404, noAttachment},
		{"", "GET", "/db/none/x", "", "", 404, missing},
		{"", "PUT", "/db/a/dir/y", "0123456789", "Content-Type: application/octet-stream", 409, conflict},
		{"", "PUT", "/db/a/dir/y?rev=1-z", "0123456789", "", 409, conflict},
		{"", "PUT", "/db/a/dir/y?rev={a}", "0123456789", "Content-Type: application/octet-stream", 201, `{"ok":true,"id":"a","rev":"2-x"}`},
		{"", "GET", "/db/a/dir%2Fy", "", "", 200, "0123456789"},
		{"", "GET", "/db/a/dir/y", "", "Range: bytes=2-4", 206, "234"},
		{"", "GET", "/db/a/dir/y", "", "Range: bytes=-3", 206, "789"},
		{"", "GET", "/db/a/dir/y", "", "Range: bytes=7-99", 206, "789"},
		{"", "GET", "/db/a/dir/y", "", "Range: bytes=1-2,4-5", 200, "0123456789"},
		{"", "GET", "/db/a/dir/y", "", "Range: bytes=99-", 416, `{"error":"requested_range_not_satisfiable","reason":"Requested range not satisfiable"}`},
		{"", "GET", "/db/a/x", "", "Range: bytes=0-0", 200, "hi"},
		{"", "GET", "/db/a?attachments=true", "", "", 200, `{"_id":"a","_rev":"2-x","n":1,"_attachments":{"dir/y":{"content_type":"application/octet-stream","revpos":2,"digest":"md5-eB5eJF1ptWaXm4bijSPyxw==","data":"MDEyMzQ1Njc4OQ=="},"x":{"content_type":"text/plain","revpos":1,"digest":"md5-SfaKXIST7CwL9ImCHCH8Ow==","data":"aGk="}}}`},
		{"", "PUT", "/db/a?rev={a}", `{"n":2,"_attachments":{"x":{"stub":true,"digest":"md5-SfaKXIST7CwL9ImCHCH8Ow==","revpos":1}}}`, "", 201, `{"ok":true,"id":"a","rev":"3-x"}`},
		{"", "GET", "/db/a", "", "", 200, `{"_id":"a","_rev":"3-x","n":2,"_attachments":{"x":` + hi + `}}`},
		{"", "PUT", "/db/a?rev={a}", `{"_attachments":{"x":{"stub":true,"digest":"md5-eB5eJF1ptWaXm4bijSPyxw=="}}}`, "", 412, `{"error":"missing_stub","reason":"Invalid attachment stub in a for x"}`},
		{"", "PUT", "/db/a?rev={a}", `{"_attachments":{"q":{"stub":true}}}`, "", 412, `{"error":"missing_stub","reason":"Invalid attachment stub in a for q"}`},
		{"", "PUT", "/db/a?rev={a}", `{"_attachments":{"q":{"data":"%%"}}}`, "", 400, `{"error":"bad_request","reason":"Attachment data of \"q\" is not base64"}`},
		{"", "PUT", "/db/a?rev={a}", `{"_attachments":{"_q":{"data":""}}}`, "", 400, `{"error":"bad_request","reason":"Attachment name '_q' starts with prohibited character '_'"}`},
		{"", "PUT", "/db/a?rev={a}", `{"_attachments":{"q":{}}}`, "", 400, `{"error":"bad_request","reason":"Attachment \"q\" is neither a stub nor has data"}`},
		{"", "PUT", "/db/a?rev={a}", `{"_attachments":[]}`, "", 400, `{"error":"bad_request","reason":"Attachments property must be an object"}`},
		{"", "PUT", "/db/a/_q?rev={a}", "x", "", 400, `{"error":"bad_request","reason":"Attachment name '_q' starts with prohibited character '_'"}`},
		{"", "DELETE", "/db/a/none?rev={a}", "", "", 404, noAttachment},
		{"", "DELETE", "/db/a/x", "", "", 409, conflict},
		{"", "DELETE", "/db/a/x?rev={a}", "", "", 200, `{"ok":true,"id":"a","rev":"4-x"}`},
		{"", "GET", "/db/a", "", "", 200, `{"_id":"a","_rev":"4-x","n":2}`},
		{"", "PUT", "/db/md5/f", "hi", "Content-MD5: SfaKXIST7CwL9ImCHCH8Ow==", 201, `{"ok":true,"id":"md5","rev":"1-x"}`},
		{"", "PUT", "/db/md5/g?rev={md5}", "ho", "Content-MD5: SfaKXIST7CwL9ImCHCH8Ow==", 400, `{"error":"content_md5_mismatch","reason":"Possible message corruption."}`},
		{"", "PUT", "/db/md5/g?rev={md5}", strings.Repeat("ho", 300_000), "Content-MD5: SfaKXIST7CwL9ImCHCH8Ow==", 400, `{"error":"content_md5_mismatch","reason":"Possible message corruption."}`},
		{"", "DELETE", "/db/md5?rev={md5}", "", "", 200, `{"ok":true,"id":"md5","rev":"2-x"}`},
		{"", "GET", "/db/md5/f", "", "", 404, deleted},
		{"", "COPY", "/db/md5", "", "Destination: x", 404, deleted},
		{"", "DELETE", "/db/none/x?rev=1-a", "", "", 409, conflict},
		{"", "PUT", "/db/none/x?rev=1-a", "x", "", 409, conflict},
		{"", "DELETE", "/db/none/x", "", "", 404, missing},
		{"", "PUT", "/db/b/empty", "", "", 201, `{"ok":true,"id":"b","rev":"1-x"}`},
		{"", "GET", "/db/b/empty", "", "", 200, ""},
		{"", "PUT", "/db/b/big?rev={b}", strings.Repeat("x", 1<<20+1), "", 413, `{"error":"attachment_too_large","reason":"big"}`},
		{"", "PUT", "/db/c", `{"_attachments":{"ok":{"data":"` + strings.Repeat("AAAA", 100_000) + `"},"big":{"data":"` + strings.Repeat("AAAA", 400_000) + `"}}}`, "", 413, `{"error":"attachment_too_large","reason":"big"}`},
	})
}

// What ends too early is not stored.
func TestTruncated(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(bytes.Repeat([]byte("sealed "), 100_000))
	z.Close()
	whole := packed.String()
	bad := `{"error":"bad_request","reason":"Attachment could not be read"}`
	n.tell([]step{
		{"", "PUT", "/db/a/f", whole[:len(whole)-10], "Content-Encoding: gzip", 400, bad},
		{"", "PUT", "/db/a/f", whole[:5], "Content-Encoding: gzip", 400, `{"error":"bad_request","reason":"Request body is not properly gzipped."}`},
		{"", "PUT", "/db/a/f", whole, "Content-Encoding: br", 415, `{"error":"bad_ctype","reason":"Content-Encoding is neither gzip nor identity"}`},
		{"", "PUT", "/db/a", `{"_attachments":{"q":{"data":"aGk"}}}`, "", 400, `{"error":"bad_request","reason":"Attachment data of \"q\" is not base64"}`},
		{"", "GET", "/db/a", "", "", 404, missing},
		{"", "PUT", "/db/a/f", whole, "Content-Encoding: gzip", 201, `{"ok":true,"id":"a","rev":"1-x"}`},
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PUT /db/b/f HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nContent-Length: 1000000\r\n\r\n%s",
		base64.StdEncoding.EncodeToString([]byte("admin:"+password)), strings.Repeat("x", 600_000))
	conn.(*net.TCPConn).CloseWrite()
	if data, _ := io.ReadAll(conn); !bytes.HasPrefix(data, []byte("HTTP/1.1 400 ")) {
		t.Errorf("half a request: %.200s", data)
	}
	conn.Close()
	n.admin(404, "GET", "/db/b", "")
	if info := n.admin(200, "GET", "/db", "").body; !strings.Contains(info, `"external":700002`) {
		t.Errorf("size: %s", info)
	}
}

// An attachment of many chunks, its ranges, and what goes when it goes.
func TestBigAttachment(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	data := make([]byte, 1_000_003)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	n.admin(201, "PUT", "/db/a/f", string(data), "Content-Type: application/octet-stream")
	a := n.do("admin", "GET", "/db/a/f", "")
	sum := md5.Sum(data)
	if want := `"` + base64.StdEncoding.EncodeToString(sum[:]) + `"`; a.header.Get("ETag") != want || !bytes.Equal([]byte(a.body), data) {
		t.Errorf("%d bytes back, ETag %s, want %s", len(a.body), a.header.Get("ETag"), want)
	}
	for _, r := range [][2]int{{0, 0}, {262_143, 262_144}, {262_144, 524_289}, {999_999, 1_000_002}} {
		a := n.do("admin", "GET", "/db/a/f", "", fmt.Sprintf("Range: bytes=%d-%d", r[0], r[1]))
		if a.status != http.StatusPartialContent || a.body != strings.TrimSuffix(string(data[r[0]:r[1]+1]), "\n") {
			t.Errorf("range %v: %d, %d bytes", r, a.status, len(a.body))
		}
		if want := fmt.Sprintf("bytes %d-%d/%d", r[0], r[1], len(data)); a.header.Get("Content-Range") != want {
			t.Errorf("Content-Range = %q, want %q", a.header.Get("Content-Range"), want)
		}
	}
	if info := n.admin(200, "GET", "/db", "").body; !strings.Contains(info, `"external":1000005`) {
		t.Errorf("size: %s", info)
	}
	n.admin(200, "DELETE", "/db/a?rev="+n.rev("a"), "")
	if info := n.admin(200, "GET", "/db", "").body; !strings.Contains(info, `"external":2`) {
		t.Errorf("size after deletion: %s", info)
	}
}
