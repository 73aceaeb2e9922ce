package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"

	"leap.example/tests/couchfaults/history"
)

// rewind ends a feed and begins the next one anew, wherever it should go on.
func rewind(l *liar, w http.ResponseWriter, r *http.Request) bool {
	q := r.URL.Query()
	if q.Get("feed") != "continuous" {
		return false
	}
	if q.Get("since") != "0" {
		l.told.Add(1)
		q.Set("since", "0")
	} else {
		q.Set("limit", "20")
	}
	r.URL.RawQuery = q.Encode()
	l.ReverseProxy.ServeHTTP(w, r)
	return true
}

// changed has the node answer and changes the body.
func (l *liar) changed(w http.ResponseWriter, r *http.Request, change func(body []byte) []byte) bool {
	r.Header.Del("Accept-Encoding")
	rec := httptest.NewRecorder()
	l.ReverseProxy.ServeHTTP(rec, r)
	body := rec.Body.Bytes()
	lie := change(body)
	if !bytes.Equal(lie, body) {
		l.told.Add(1)
	}
	w.WriteHeader(rec.Code)
	w.Write(lie)
	return true
}

// Rows of documents that are written once, one behind another.
var (
	ownRow  = regexp.MustCompile(`\n\{[^\n]*"id":"own-[^\n]*,`)
	ownRows = regexp.MustCompile(`\n(\{"id":"own-[^\n]*),\n(\{"id":"own-[^\n]*),\n`)
)

// skipChange leaves a row out of changes that are read once.
func skipChange(l *liar, w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasSuffix(r.URL.Path, "/_changes") || r.URL.Query().Get("limit") == "" {
		return false
	}
	return l.changed(w, r, func(body []byte) []byte {
		if at := ownRow.FindIndex(body); at != nil {
			return append(append([]byte(nil), body[:at[0]]...), body[at[1]:]...)
		}
		return body
	})
}

// hideDocument leaves a document out of a list that must be fresh.
func hideDocument(l *liar, w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasSuffix(r.URL.Path, "/_all_docs") || r.Header.Get("X-Leap-Fresh") == "" {
		return false
	}
	return l.changed(w, r, func(body []byte) []byte { return ownRows.ReplaceAll(body, []byte("\n$2,\n")) })
}

// disorder puts documents of a list in another order.
func disorder(l *liar, w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasSuffix(r.URL.Path, "/_all_docs") {
		return false
	}
	return l.changed(w, r, func(body []byte) []byte { return ownRows.ReplaceAll(body, []byte("\n$2,\n$1,\n")) })
}

var lawful = regexp.MustCompile(`"law":\d+`)

// pardon lets pass what a law is against.
func pardon(l *liar, _ http.ResponseWriter, r *http.Request) bool {
	if r.Method != put || !ownDocument.MatchString(r.URL.Path) {
		return false
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false
	}
	always := fmt.Appendf(nil, `"law":%d`, history.Always)
	if !bytes.Contains(body, always) {
		l.told.Add(1)
	}
	body = lawful.ReplaceAll(body, always)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return false
}
