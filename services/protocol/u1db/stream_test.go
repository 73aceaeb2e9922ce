package u1db_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

var (
	header = u1db.SyncHeader{LastKnownGeneration: 12, LastKnownTransID: "T-12", SyncID: "5a"}
	result = u1db.SyncResult{NewGeneration: 15, NewTransactionID: "T-15", NumberOfChanges: 2, ReplicaUID: "9b"}
	docs   = []u1db.Document{
		{ID: "D-1", Rev: "41:3", Content: `{"raw": "one"}`, Gen: 8, TransID: "T-8"},
		{ID: "D-2", Rev: "41:4", Gen: 9, TransID: "T-9"},
	}
)

// reader is what all streams have in common.
type reader interface {
	Next() (u1db.Document, error)
}

// A form is one of the four streams of documents.
type form struct {
	name  string
	write func(w io.Writer, docs []u1db.Document) (*u1db.Writer, error)
	read  func(r io.Reader, limit int) (reader, any, error)
	first any
}

func forms() []form {
	return []form{
		{
			"put", func(w io.Writer, d []u1db.Document) (*u1db.Writer, error) {
				return u1db.NewPutWriter(w, header, len(d))
			},
			func(r io.Reader, n int) (reader, any, error) {
				rd, h, err := u1db.NewPutReader(r, n)
				return rd, h, err
			}, header,
		},
		{
			"plain", func(w io.Writer, _ []u1db.Document) (*u1db.Writer, error) { return u1db.NewPlainWriter(w, header) },
			func(r io.Reader, n int) (reader, any, error) {
				rd, h, err := u1db.NewPlainReader(r, n)
				return rd, h, err
			}, header,
		},
		{
			"get-response", func(w io.Writer, d []u1db.Document) (*u1db.Writer, error) { return u1db.NewGetWriter(w, counted(d)) },
			func(r io.Reader, n int) (reader, any, error) {
				rd, h, err := u1db.NewGetReader(r, n)
				return rd, h, err
			}, result,
		},
		{"plain-response", func(w io.Writer, d []u1db.Document) (*u1db.Writer, error) {
			return u1db.NewPlainResponseWriter(w, counted(d))
		}, func(r io.Reader, n int) (reader, any, error) {
			rd, h, err := u1db.NewPlainResponseReader(r, n)
			return rd, h, err
		}, result},
	}
}

func counted(d []u1db.Document) u1db.SyncResult {
	res := result
	res.NumberOfChanges = len(d)
	return res
}

func (f form) encode(tb testing.TB, docs []u1db.Document) string {
	tb.Helper()
	var b bytes.Buffer
	w, err := f.write(&b, docs)
	if err != nil {
		tb.Fatal(err)
	}
	for _, d := range docs {
		if err := w.Write(d); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

func (f form) decode(r io.Reader, limit int) (first any, docs []u1db.Document, err error) {
	rd, first, err := f.read(r, limit)
	if err != nil {
		return nil, nil, err
	}
	for {
		d, err := rd.Next()
		if err == io.EOF {
			return first, docs, nil
		}
		if err != nil {
			if _, again := rd.Next(); again != err {
				return nil, nil, errors.New("an error that goes away")
			}
			return nil, nil, err
		}
		docs = append(docs, d)
	}
}

func TestStreams(t *testing.T) {
	for _, f := range forms() {
		text := f.encode(t, docs)
		golden(t, f.name+".txt", text)
		first, got, err := f.decode(iotest.OneByteReader(strings.NewReader(text)), 1000)
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		if d := cmp.Diff(f.first, first) + cmp.Diff(docs, got); d != "" {
			t.Errorf("%s: %s", f.name, d)
		}
		if _, got, err := f.decode(strings.NewReader(f.encode(t, nil)), 1000); err != nil || got != nil {
			t.Errorf("%s without documents: %v, %v", f.name, got, err)
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s: %s", name, d)
	}
}

// TestCutStreams cuts every stream at every byte: it is never taken for a
// shorter one.
func TestCutStreams(t *testing.T) {
	for _, f := range forms() {
		text := strings.TrimSuffix(f.encode(t, docs), "\r\n")
		for n := range text {
			if _, got, err := f.decode(strings.NewReader(text[:n]), 1000); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, u1db.ErrBadRequest) {
				t.Fatalf("%s cut at %d of %d: %v, %v", f.name, n, len(text), got, err)
			}
		}
		if _, _, err := f.decode(io.MultiReader(strings.NewReader(text[:len(text)-3]), iotest.ErrReader(os.ErrDeadlineExceeded)), 1000); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the reader's error becomes %v", f.name, err)
		}
	}
}

func TestBadStreams(t *testing.T) {
	put, plain, get := forms()[0], forms()[1], forms()[2]
	const (
		head  = "[\r\n" + `{"last_known_generation":0,"last_known_trans_id":"","ensure":false}`
		res   = "[\r\n" + `{"new_generation":9,"new_transaction_id":"T-9","number_of_changes":1}`
		entry = `{"id":"D-1","rev":"a:1","content":null,"gen":1,"trans_id":"T-1","number_of_docs":1,"doc_idx":1}`
	)
	with := func(old, replacement string) string {
		return head + ",\r\n" + strings.Replace(entry, old, replacement, 1) + ",\r\n{}\r\n]"
	}
	second := strings.NewReplacer("D-1", "D-2", `"gen":1`, `"gen":2`, `"doc_idx":1`, `"doc_idx":2`, `docs":1`, `docs":2`).Replace(entry)
	firstOf2 := strings.Replace(entry, `docs":1`, `docs":2`, 1)
	for _, tt := range []struct {
		name string
		form form
		text string
		want error
	}{
		{"good", put, with("x", "x"), nil},
		{"good, with a line end", put, with("x", "x") + "\r\n", nil},
		{"good, two", put, head + ",\r\n" + firstOf2 + ",\r\n{},\r\n" + second + ",\r\n\r\n]", nil},
		{"unknown members", put, with(`{"id"`, `{"new":1,"id"`), nil},
		{"empty", put, "", u1db.ErrBadRequest},
		{"no array", put, "{}\r\n", u1db.ErrBadRequest},
		{"no header", put, "[\r\n]", u1db.ErrBadRequest},
		{"header not an object", put, "[\r\n1\r\n]", u1db.ErrBadRequest},
		{"negative generation", put, strings.Replace(with("x", "x"), `generation":0`, `generation":-1`, 1), u1db.ErrBadRequest},
		{"generation without transaction", put, strings.Replace(with("x", "x"), `generation":0`, `generation":1`, 1), u1db.ErrBadRequest},
		{"line feeds alone", put, strings.ReplaceAll(with("x", "x"), "\r\n", "\n"), u1db.ErrBadRequest},
		{"data after the end", put, with("x", "x") + "\r\n\r\n", u1db.ErrBadRequest},
		{"a second array", put, with("x", "x") + "[", u1db.ErrBadRequest},
		{"comma before the end", put, head + ",\r\n]", u1db.ErrBadRequest},
		{"no comma", put, head + "\r\n" + entry + ",\r\n{}\r\n]", u1db.ErrBadRequest},
		{"no content", put, head + ",\r\n" + entry + "\r\n]", u1db.ErrBadRequest},
		{"content is no object", put, head + ",\r\n" + entry + ",\r\n[]\r\n]", u1db.ErrBadRequest},
		{"content is no JSON", put, head + ",\r\n" + entry + ",\r\n{x}\r\n]", u1db.ErrBadRequest},
		{"content in spaces", put, head + ",\r\n" + entry + ",\r\n {} \r\n]", u1db.ErrBadRequest},
		{"one too few", put, head + ",\r\n" + firstOf2 + ",\r\n{}\r\n]", u1db.ErrBadRequest},
		{"swapped", put, head + ",\r\n" + second + ",\r\n{},\r\n" + firstOf2 + ",\r\n{}\r\n]", u1db.ErrBadRequest},
		{"the same generation", put, head + ",\r\n" + firstOf2 + ",\r\n{},\r\n" + strings.Replace(second, `"gen":2`, `"gen":1`, 1) + ",\r\n{}\r\n]", u1db.ErrBadRequest},
		{"bad id", put, with("D-1", "D/1"), u1db.ErrInvalidDocID},
		{"dots", put, with("D-1", ".."), u1db.ErrInvalidDocID},
		{"bad revision", put, with("a:1", "a:01"), u1db.ErrBadRequest},
		{"generation 0", put, with(`"gen":1`, `"gen":0`), u1db.ErrBadRequest},
		{"no transaction", put, with("T-1", ""), u1db.ErrBadRequest},
		{"a fraction", put, with(`"gen":1`, `"gen":1.5`), u1db.ErrBadRequest},
		{"counted from 0", put, with(`idx":1`, `idx":0`), u1db.ErrBadRequest},
		{"too big", put, head + ",\r\n" + entry + ",\r\n" + `{"x":"` + strings.Repeat("x", 3000) + "\"}\r\n]", u1db.ErrDocumentTooBig},
		{"too big, cut off", put, head + ",\r\n" + strings.Repeat("x", 10_000), u1db.ErrDocumentTooBig},
		{"plain content with a line break", plain, head + ",\r\n" + strings.Replace(entry, "null", `"{\"a\":\n1}"`, 1) + "\r\n]", u1db.ErrBadRequest},
		{"refused in the result", get, "[\r\n{\"error\":\"unavailable\"}\r\n]\r\n", u1db.ErrUnavailable},
		{"refused in an entry", get, res + ",\r\n{\"error\":\"user quota exceeded\"},\r\n\r\n]\r\n", u1db.ErrQuota},
		{"result without a count", get, strings.Replace(res, `,"number_of_changes":1`, "", 1) + "\r\n]\r\n", u1db.ErrBadRequest},
		{"fewer than announced", get, res + "\r\n]\r\n", u1db.ErrBadRequest},
		{"beyond the result", get, res + ",\r\n" + strings.Replace(entry, `"gen":1`, `"gen":10`, 1) + ",\r\n{}\r\n]\r\n", u1db.ErrBadRequest},
		{"an error in a value", get, res + ",\r\n" + strings.Replace(entry, "D-1", "D-error", 1) + ",\r\n{}\r\n]\r\n", nil},
		{"a revision for the device to judge", get, res + ",\r\n" + strings.Replace(entry, "a:1", "a:01", 1) + ",\r\n{}\r\n]\r\n", nil},
	} {
		_, _, err := tt.form.decode(strings.NewReader(tt.text), 2000)
		if tt.want == nil && err != nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestNewestFirst(t *testing.T) {
	get := forms()[2]
	down := []u1db.Document{{ID: "D-3", Rev: "a:1", Gen: 9, TransID: "T-9"}, {ID: "D-2", Rev: "a:1", Gen: 5, TransID: "T-5"}, {ID: "D-1", Rev: "a:1", Gen: 2, TransID: "T-2"}}
	if _, got, err := get.decode(strings.NewReader(get.encode(t, down)), 1000); err != nil || len(got) != 3 {
		t.Errorf("falling: %v, %v", got, err)
	}
	mixed := []u1db.Document{down[1], down[0], down[2]}
	if _, _, err := get.decode(strings.NewReader(get.encode(t, mixed)), 1000); !errors.Is(err, u1db.ErrBadRequest) {
		t.Errorf("up and down: %v", err)
	}
	put := forms()[0]
	if _, _, err := put.decode(strings.NewReader(put.encode(t, down)), 1000); !errors.Is(err, u1db.ErrBadRequest) {
		t.Errorf("a source that goes down: %v", err)
	}
}

func TestWriterRefuses(t *testing.T) {
	for _, f := range forms() {
		var b bytes.Buffer
		w, err := f.write(&b, docs)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(u1db.Document{ID: "D-1", Rev: "a:1", Content: "{\n}", Gen: 1, TransID: "T-1"}); !errors.Is(err, u1db.ErrBadRequest) {
			t.Errorf("%s: content of two lines: %v", f.name, err)
		}
		if err := w.Close(); err == nil || strings.HasSuffix(b.String(), "]") {
			t.Errorf("%s: closed after an error: %v, %q", f.name, err, b.String())
		}
	}
	for _, f := range []form{forms()[0], forms()[2], forms()[3]} {
		for n := range 4 {
			w, err := f.write(io.Discard, docs)
			if err != nil {
				t.Fatal(err)
			}
			for range n {
				err = errors.Join(err, w.Write(docs[0]))
			}
			if err := errors.Join(err, w.Close()); (err == nil) != (n == 2) {
				t.Errorf("%s: %d documents of 2: %v", f.name, n, err)
			}
		}
	}
	if _, err := u1db.NewPutWriter(failing{}, header, 0); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestSingles(t *testing.T) {
	var b bytes.Buffer
	want := header
	want.NewestFirst = true
	if err := u1db.WriteGet(&b, want); err != nil {
		t.Fatal(err)
	}
	golden(t, "get.txt", b.String())
	if got, err := u1db.ReadGet(&b); err != nil || got != want {
		t.Errorf("get: %+v, %v", got, err)
	}
	b.Reset()
	if err := u1db.WritePutResponse(&b, result); err != nil {
		t.Fatal(err)
	}
	golden(t, "put-response.txt", b.String())
	res := result
	res.NumberOfChanges = 0
	if got, err := u1db.ReadPutResponse(&b); err != nil || got != res {
		t.Errorf("put response: %+v, %v", got, err)
	}
	for _, text := range []string{"", "[\r\n", "[\r\n{}\r\n", "[\r\n{},\r\n{}\r\n]", "[\r\n{}\r\n]x", "[\r\n" + `{"new_generation":1,"last_known_generation":1}` + "\r\n]", "[\r\n" + strings.Repeat("x", 5000)} {
		if _, err := u1db.ReadGet(strings.NewReader(text)); err == nil {
			t.Errorf("get %q is taken", text)
		}
		if _, err := u1db.ReadPutResponse(strings.NewReader(text)); err == nil {
			t.Errorf("put response %q is taken", text)
		}
	}
}

// TestRoundTrip: what a writer writes, its reader reads.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(forms()).Draw(t, "form")
		n := rapid.IntRange(0, 6).Draw(t, "documents")
		var in []u1db.Document
		for i := range n {
			d := u1db.Document{Rev: "a:1", Gen: 2 * (i + 1), TransID: "T-x"}
			d.ID = rapid.StringMatching(`D-[0-9a-f]{1,8}`).Draw(t, "id")
			d.Content = rapid.SampledFrom([]string{"", "{}", `{"raw":"x,"}`, `{"a":"]"}`, "{\"é\":\"\u2028<>&\"}"}).Draw(t, "content")
			in = append(in, d)
		}
		var b bytes.Buffer
		w, err := f.write(&b, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range in {
			if err := w.Write(d); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		_, out, err := f.decode(&b, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(in, out); d != "" {
			t.Fatal(d)
		}
	})
}

func TestWords(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   error
		kind   problem.Kind
	}{
		{404, `{"error":"document does not exist"}`, u1db.ErrNoDocument, problem.NotExist},
		{409, `{"error":"invalid generation"}`, u1db.ErrGeneration, problem.Stale},
		{403, `{"error":"user quota exceeded"}`, u1db.ErrQuota, problem.Limit},
		{507, `Quota Exceeded!`, u1db.ErrQuota, problem.Limit},
		{503, `<html>`, nil, problem.Unavailable},
		{404, ``, nil, problem.NotExist},
		{500, `{"error":"??"}`, nil, problem.Internal},
		{403, `{"type":"limit","detail":"full"}`, nil, problem.Limit},
	} {
		err := u1db.ErrorOf(tt.status, []byte(tt.body))
		if tt.want != nil && err != tt.want || problem.KindOf(err) != tt.kind {
			t.Errorf("%d %s: %v of kind %v, want %v of %v", tt.status, tt.body, err, problem.KindOf(err), tt.want, tt.kind)
		}
	}
	for _, k := range []problem.Kind{problem.NotExist, problem.Exist, problem.Invalid, problem.Unauthenticated, problem.Permission, problem.Stale, problem.Limit, problem.Unavailable} {
		e := u1db.WordsOf(k.Errorf("x"))
		if back := u1db.ErrorOf(e.Status, e.Body()); back != e {
			t.Errorf("%v: %v comes back as %v", k, e, back)
		}
		if k != problem.Exist && problem.KindOf(e) != k {
			t.Errorf("%v is answered with %v", k, e)
		}
	}
	if u1db.WordsOf(io.EOF) != u1db.ErrUnavailable {
		t.Error("an internal error is not answered with unavailable")
	}
}

func TestIdentifiers(t *testing.T) {
	seed := bytes.NewReader(bytes.Repeat([]byte{0xff}, 48))
	doc, err1 := u1db.NewDocID(seed)
	trans, err2 := u1db.NewTransID(seed)
	replica, err3 := u1db.NewReplica(seed)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	const uuid = "ffffffffffff4fffbfffffffffffffff"
	if doc != "D-"+uuid || trans != "T-"+uuid || replica != uuid {
		t.Errorf("%s %s %s", doc, trans, replica)
	}
	if !u1db.ValidDocID(doc) || !u1db.ValidTransID(trans) || !u1db.ValidReplica(replica) || !u1db.ValidDatabase("user-"+replica) {
		t.Error("our own identifiers are not valid")
	}
	if _, err := u1db.NewReplica(seed); err == nil {
		t.Error("an identifier without randomness")
	}
	for _, s := range []string{"", ".", "..", "a b", "a/b", "ä", strings.Repeat("x", 300)} {
		if u1db.ValidDocID(s) || u1db.ValidDatabase(s) || s != "." && s != ".." && u1db.ValidTransID(s) || u1db.ValidReplica(s) {
			t.Errorf("%q is valid", s)
		}
	}
	if u1db.ValidDatabase("-x") || u1db.ValidDatabase("a_b") || !u1db.ValidDocID("a%20b") || u1db.ValidReplica("a%b") {
		t.Error("grammar")
	}
}
