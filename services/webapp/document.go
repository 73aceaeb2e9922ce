package webapp

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"time"
)

// A document is a file that is served as it was when the service started. It
// answers conditional requests (leap-protocols.md 1.1, 13.4).
type document struct {
	body        []byte
	modified    time.Time
	etag        string
	contentType string
	cache       string // Cache-Control.
}

const jsonType = "application/json; charset=utf-8"

func newDocument(body []byte, modified time.Time, contentType string) *document {
	sum := sha256.Sum256(body)
	return &document{
		body: body,
		// HTTP dates have seconds.
		modified:    modified.Truncate(time.Second),
		etag:        `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
		contentType: contentType,
		cache:       "no-cache",
	}
}

// readDocument reads a file.
func readDocument(path, contentType string) (*document, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(f); err != nil {
		return nil, err
	}
	return newDocument(b.Bytes(), info.ModTime(), contentType), nil
}

// jsonDocument makes a document of a value.
func jsonDocument(v any, modified time.Time) (*document, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return newDocument(append(body, '\n'), modified, jsonType), nil
}

// serve answers with d, or with 304.
func (d *document) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", d.cache)
	h.Set("Content-Type", d.contentType)
	h.Set("ETag", d.etag)
	http.ServeContent(w, r, "", d.modified, bytes.NewReader(d.body))
}
