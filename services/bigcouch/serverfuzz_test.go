package bigcouch

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"leap.example/services/bigcouch/store"
)

// running returns a node that lies in memory, and whose feeds end as soon as
// they have nothing to say.
func running(f testing.TB) *node {
	f.Helper()
	file := filepath.Join(f.TempDir(), "password")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		f.Fatal(err)
	}
	s, err := NewOn(vfs.NewMem(), Config{
		Listen: "127.0.0.1:0", Dir: "db", Accounts: []ConfigAccount{{Name: "a", PasswordFile: file, Admin: true}, {Name: "b", PasswordFile: file}},
		ProxySecretFile: file, CORS: ConfigCORS{Origins: []string{"*"}}, MaxRequestSize: 1 << 20, MaxAttachmentSize: 1 << 20,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	f.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			f.Error(err)
		}
	})
	for deadline := time.Now().Add(20 * time.Second); s.Check(ctx) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.Fatal("the server does not start")
		}
	}
	closed := make(chan struct{})
	close(closed)
	s.node.stopping = closed
	return s.node
}

// request asks n in process.
func (n *node) request(method string, target *url.URL, header http.Header, body string) *httptest.ResponseRecorder {
	r := &http.Request{
		Method: method, URL: target, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Host: "x",
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), RequestURI: target.RequestURI(),
	}
	w := httptest.NewRecorder()
	n.ServeHTTP(w, r.WithContext(context.Background()))
	return w
}

// Whatever is asked, the server neither panics nor says that it is its fault.
func FuzzServer(f *testing.F) {
	n := running(f)
	for _, s := range [][4]string{
		{"GET", "/db/_all_docs?include_docs=true", "", ""},
		{"POST", "/db/_bulk_docs", "Content-Type: application/json", `{"docs":[{"_id":"a"},{"_id":"_local/b"}],"new_edits":true}`},
		{"POST", "/db/_bulk_get?revs=true", "Accept: multipart/mixed", `{"docs":[{"id":"doc","atts_since":["1-a"]}]}`},
		{"POST", "/db/_find", "", `{"selector":{"n":{"$gt":0}},"fields":["n"],"sort":["n"],"limit":3}`},
		{"POST", "/db/_index", "", `{"index":{"fields":["n"]},"ddoc":"i"}`},
		{"POST", "/db/_changes?filter=_selector&style=all_docs", "", `{"selector":{"n":1}}`},
		{"GET", "/db/_changes?feed=eventsource&since=now&seq_interval=2", "Last-Event-ID: 1-x", ""},
		{"PUT", "/db/doc?rev=1-a", `Content-Type: multipart/related; boundary="x"`, "--x\r\n\r\n{\"_attachments\":{\"f\":{\"follows\":true,\"length\":1}}}\r\n--x\r\n\r\ny\r\n--x--"},
		{"PUT", "/db/r?new_edits=false", "", `{"_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"_attachments":{"f":{"data":"aGk="}}}`},
		{"COPY", "/db/doc", "Destination: other?rev=1-a", ""},
		{"GET", "/db/doc?open_revs=all&attachments=true", "Accept: */*", ""},
		{"GET", "/db/doc/f", "Range: bytes=0-1", ""},
		{"DELETE", "/db/doc?rev=1-a", `If-Match: "1-a"`, ""},
		{"POST", "/db/_purge", "", `{"doc":["1-a"]}`},
		{"POST", "/db/_revs_diff", "", `{"doc":["1-a","9-b"]}`},
		{"PUT", "/db/_revs_limit", "", `2`},
		{"PUT", "/db/_security", "", `{"members":{"names":["b"]}}`},
		{"POST", "/db/_all_docs/queries", "", `{"queries":[{"keys":["doc"]},{"start_key":"a","descending":true}]}`},
		{"POST", "/db/_local_docs", "", `{"keys":["_local/x"]}`},
		{"GET", "/_db_updates?feed=longpoll&since=0", "", ""},
		{"POST", "/_dbs_info", "", `{"keys":["db"]}`},
		{"GET", "/_node/_local/_stats/couchdb/httpd", "", ""},
		{"POST", "/_session?next=/x", "Content-Type: application/x-www-form-urlencoded", "name=a&password=x"},
		{"GET", "/", "X-Auth-CouchDB-UserName: c", ""},
		{"OPTIONS", "/db", "Access-Control-Request-Method: PUT", ""},
		{"GET", "/%2e%2e/%00%2F%ff", "", ""},
		{"PUT", "/new%2Fdb", "", ""},
		{"DELETE", "/db", "", ""},
		{"GET", "/many/_all_docs?include_docs=true&update_seq=true", "", ""},
		{"POST", "/many/_all_docs", "", `{"keys":["a","doc",1]}`},
		{"POST", "/many/_bulk_docs", "", `{"docs":[{"_id":"a"},{},{"_id":"_design/v"}],"new_edits":true}`},
		{"POST", "/many/_bulk_get", "Accept: multipart/mixed", `{"docs":[{"id":"doc"},1]}`},
		{"POST", "/many/_find", "", `{"selector":{"n":{"$gt":0}},"bookmark":"nil"}`},
		{"GET", "/many/_changes?feed=longpoll&since=0&filter=v/f", "", ""},
		{"GET", "/many/_design/v/_view/v?keys=[1]&include_docs=true", "", ""},
		{"POST", "/many/_purge", "", `{"doc":["1-a"]}`},
		{"COPY", "/many/doc", "Destination: other?rev=1-a", ""},
		{"POST", "/many", "", `{"_id":"_design/x","views":{}}`},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	base := func(method, path, body string) {
		path, query, _ := strings.Cut(path, "?")
		n.request(method, &url.URL{Path: path, RawQuery: query}, http.Header{"Authorization": {"Basic YTp4"}, "Content-Type": {typeJSON}}, body)
	}
	f.Fuzz(func(t *testing.T, method, target, header, body string) {
		base("PUT", "/db", "") // If an earlier input has dropped it.
		base("PUT", "/many?q=3", "")
		base("PUT", "/many/doc", `{"n":1,"_attachments":{"f":{"data":"aGk="}}}`)
		base("PUT", "/many/_design/v", `{"views":{"v":{"map":"function (doc) { emit(doc.n, {_id: 'x'}) }"}},"filters":{"f":"function () { return true }"}}`)
		base("PUT", "/db/doc", `{"n":1,"_attachments":{"f":{"data":"aGk="}}}`)
		u, err := url.ParseRequestURI(target)
		if err != nil || method == "" {
			return
		}
		h := http.Header{"Authorization": {"Basic YTp4"}, "Content-Type": {typeJSON}}
		if name, value, ok := strings.Cut(header, ": "); ok && name != "Authorization" {
			h.Set(name, value)
		}
		w := n.request(method, u, h, body)
		if w.Code == http.StatusInternalServerError {
			t.Fatalf("%s %s, %s, %q: %d %s", method, target, header, body, w.Code, w.Body)
		}
	})
}

// A document in parts is read as it was written, or refused; what is handed on
// is never more than what the document and the limits allow.
func FuzzParts(f *testing.F) {
	const doc = `{"_attachments":{"f":{"follows":true,"length":3,"content_type":"text/plain"},"g":{"follows":true}}}`
	for _, s := range []string{
		"--x\r\n\r\n" + doc + "\r\n--x\r\n\r\nabc\r\n--x\r\nContent-Disposition: attachment; filename=\"g\"\r\n\r\n\r\n--x--",
		"--x\n\n" + doc + "\n--x\n\nabc\n--x\n\n\n--x--\n", "preamble\r\n--x\r\n\r\n{}\r\n--x--epilogue", "--x--", "--x\r\n\r\n{", "",
		"--x\r\n\r\n" + strings.Replace(doc, `"length":3`, `"encoding":"gzip","encoded_length":3,"digest":"md5-AAAA"`, 1) + "\r\n--x\r\n\r\nabc\r\n--x--",
	} {
		f.Add(`multipart/related; boundary="x"`, []byte(s))
	}
	const limit = 1000
	f.Fuzz(func(t *testing.T, contentType string, data []byte) {
		p, err := newPartsReader(contentType, bytes.NewReader(data), limit, limit)
		if err != nil {
			return
		}
		d, err := p.document(limit)
		if err != nil {
			if _, known := asWire(err); !known {
				t.Fatalf("document of %q: %v is no answer", data, err)
			}
			return
		}
		follows := p.until
		content := map[string]string{}
		atts, err := p.attachments(d.atts, func(in *inline, r io.Reader) (store.NewAtt, error) {
			data, err := io.ReadAll(r)
			if len(data) > limit {
				t.Fatalf("attachment %q has %d bytes", in.name, len(data))
			}
			if n, known := in.sent(); err == nil && known && in.Encoding == "" && n != int64(len(data)) {
				t.Fatalf("attachment %q has %d bytes, announced are %d", in.name, len(data), n)
			}
			content[in.name] = string(data)
			return store.NewAtt{}, err
		})
		if err != nil {
			if _, known := asWire(err); !known {
				t.Fatalf("attachments of %q: %v is no answer", data, err)
			}
			return
		}
		if len(atts) != follows || len(content) != follows {
			t.Fatalf("%d attachments, %d follow", len(atts), follows)
		}
		var again bytes.Buffer
		w := multipart.NewWriter(&again)
		if err := writeAgain(w, d, content); err != nil {
			t.Fatal(err)
		}
		p, err = newPartsReader("multipart/related; boundary="+w.Boundary(), &again, limit, limit)
		if err != nil {
			t.Fatal(err)
		}
		back, err := p.document(limit)
		if err != nil || string(back.body) != string(d.body) || p.until != follows {
			t.Fatalf("written again: %v, %v; want %s", back, err, d.body)
		}
	})
}

// writeAgain writes a document in parts, its attachments by name.
func writeAgain(w *multipart.Writer, d *document, content map[string]string) error {
	body := append([]byte(`{"_attachments":{`), '}')
	first := true
	for name := range content {
		sep := ","
		if first {
			sep, first = "", false
		}
		body = append(append(body[:len(body)-1], sep...), appendJSON(nil, name)...)
		body = append(body, `:{"follows":true}}`...)
	}
	body = append(body, '}')
	if len(d.body) > 2 {
		body = append(append(body[:len(body)-1], ','), d.body[1:]...)
	}
	part, err := w.CreatePart(partHeader("Content-Type", typeJSON))
	if err != nil {
		return err
	}
	if _, err := part.Write(body); err != nil {
		return err
	}
	for name, data := range content {
		part, err := w.CreatePart(partHeader("Content-Disposition", "attachment; filename="+quoteName(name)))
		if err != nil {
			return err
		}
		if _, err := io.WriteString(part, data); err != nil {
			return err
		}
	}
	return w.Close()
}

// A header without a type accepts nothing but what it names.
func FuzzAccepts(f *testing.F) {
	for _, s := range []string{"*/*", "application/json", "multipart/*;q=0.5", "text/html, multipart/mixed; q=0", "", ",,;q=x", "multipart/mixed;q=nan"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if accepts([]string{header}, typeMixed) && !strings.Contains(strings.ToLower(header), "multipart/") && !strings.Contains(header, "*/*") {
			t.Fatalf("%q accepts %s", header, typeMixed)
		}
	})
}
