package play

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestScanFinds checks that the scan sees through the forms in which a
// database may give a word back.
func TestScanFinds(t *testing.T) {
	const word = "CANARYXYZ"
	for _, v := range []any{
		word,
		"text " + word + " text",
		map[string]any{"a": []any{map[string]any{word: 1.0}}},
		"dGV4dCBDQU5BUllYWVogdGV4dA==",           // Base64.
		"dGV4dCBDQU5BUllYWVogdGV4dA",             // Without padding.
		"7465787420434e4152595858595a",           // Hex of another word: not found.
		`{"ld1":"dGV4dCBDQU5BUllYWVogdGV4dA"}`,   // JSON inside a string.
		`{"x":"{\"y\":\"43414e41525958595a\"}"}`, // Hex inside JSON inside JSON.
		map[string]any{"data": "Q0FOQVJZWFla"},   // An attachment.
		"Content-Type: x\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte("a "+word+" b")) + "\r\n",
		"Content-Type: x\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte("ab "+word+" b")) + "\r\n",
		"Content-Type: x\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte("abc "+word+" b")) + "\r\n",
		"Q0FOQVJZWFlaQ0FOQVJZWFlaQ0FOQVJZWFla\n\n", // Not base64 as it stands: line ends do not hurt.
	} {
		f := NewFinder([]string{word})
		f.value("here", v, 0)
		found := len(f.Found[word]) > 0
		if want := v != "7465787420434e4152595858595a"; found != want {
			t.Errorf("%v: found = %v, want %v", v, found, want)
		}
	}
}

// TestScanMeanwhile: a document that changes between being listed and being read is
// read as it is then, and a database may go. One that is not there for no reason is
// an error.
func TestScanMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		answers map[string][]string // One after the other, the last again and again.
		found   int
		err     error
	}{
		"changed": {answers: map[string][]string{
			"/_all_dbs":                           {`["db"]`},
			"/db/_changes?style=all_docs&since=0": {`{"results":[{"id":"a","changes":[{"rev":"1-x"}]}],"last_seq":"1"}`},
			"/db/_changes?style=all_docs&since=1": {`{"results":[{"id":"a","changes":[{"rev":"2-y"}]}],"last_seq":"2"}`},
			"/db/a?attachments=true&rev=2-y":      {`{"_id":"a","text":"CANARYXYZ"}`},
		}, found: 1},
		"not changed": {answers: map[string][]string{
			"/_all_dbs":                           {`["db"]`},
			"/db/_changes?style=all_docs&since=0": {`{"results":[{"id":"a","changes":[{"rev":"1-x"}]}],"last_seq":"1"}`},
			"/db/_changes?style=all_docs&since=1": {`{"results":[],"last_seq":"1"}`},
		}, err: errMissing},
		"gone":     {answers: map[string][]string{"/_all_dbs": {`["db"]`, `[]`}}},
		"not gone": {answers: map[string][]string{"/_all_dbs": {`["db"]`}}, err: errMissing},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			list := c.answers[r.URL.String()]
			if len(list) == 0 {
				http.NotFound(w, r)
				return
			}
			if len(list) > 1 {
				c.answers[r.URL.String()] = list[1:]
			}
			_, _ = io.WriteString(w, list[0])
		}))
		f := NewFinder([]string{"CANARYXYZ"})
		err := f.database(Database{URLs: []string{server.URL}, HTTP: server.Client()})
		server.Close()
		if !errors.Is(err, c.err) || len(f.Found["CANARYXYZ"]) != c.found {
			t.Errorf("%s: %v, %v", name, f.Found, err)
		}
	}
}
