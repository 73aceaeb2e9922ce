package bigcouch_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/go-kivik/kivik/v4"
)

// kivikMultipart writes attachments in parts beside the document, and reads them
// in parts.
func kivikMultipart(ctx context.Context, t *testing.T, db *kivik.DB, rev string, body []byte) string {
	t.Helper()
	atts := kivik.Attachments{}
	atts.Set("body", &kivik.Attachment{ContentType: "application/octet-stream", Content: io.NopCloser(bytes.NewReader(body))})
	atts.Set("two", &kivik.Attachment{ContentType: "text/plain", Content: io.NopCloser(strings.NewReader("second"))})
	rev, err := db.Put(ctx, "mail", thing{"_rev": rev, "_attachments": atts})
	if err != nil {
		t.Fatal(err)
	}
	list, err := db.Get(ctx, "mail", kivik.Param("attachments", true)).Attachments()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for {
		att, err := list.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found++
		want := body
		if att.Filename == "two" {
			want = []byte("second")
		}
		if got, err := io.ReadAll(att.Content); err != nil || !bytes.Equal(got, want) {
			t.Errorf("attachment %s in parts: %d bytes, %v; want %d", att.Filename, len(got), err, len(want))
		}
	}
	if found != 2 {
		t.Errorf("%d attachments in parts, want 2", found)
	}
	rows := db.OpenRevs(ctx, "mail", []string{rev, "1-abc"})
	defer rows.Close()
	if !rows.Next() {
		t.Fatalf("no open revision: %v", rows.Err())
	}
	if got, err := rows.Rev(); err != nil || got != rev {
		t.Errorf("open revision %s, %v; want %s", got, err, rev)
	}
	return rev
}
