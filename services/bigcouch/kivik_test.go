package bigcouch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-kivik/kivik/v4"
	"github.com/go-kivik/kivik/v4/couchdb"
)

// open connects kivik, the client that the provider's services use.
func open(t *testing.T, n *node, auth kivik.Option) *kivik.Client {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	client, err := kivik.New("couch", n.url, couchdb.OptionHTTPClient(&http.Client{Transport: tr}), auth)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

type thing map[string]any

func TestKivik(t *testing.T) {
	n := start(t, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := open(t, n, couchdb.CookieAuth("admin", password))

	if up, err := client.Ping(ctx); !up || err != nil {
		t.Fatalf("Ping = %v, %v", up, err)
	}
	if err := client.CreateDB(ctx, "user-1"); err != nil {
		t.Fatal(err)
	}
	if err := client.CreateDB(ctx, "user-1"); kivik.HTTPStatus(err) != http.StatusPreconditionFailed {
		t.Errorf("creating twice: %v", err)
	}
	db := client.DB("user-1")
	if err := db.SetSecurity(ctx, &kivik.Security{Members: kivik.Members{Names: []string{"webapp"}}}); err != nil {
		t.Fatal(err)
	}

	t.Run("documents", func(t *testing.T) {
		kivikDocuments(ctx, t, open(t, n, couchdb.BasicAuth("webapp", password)).DB("user-1"))
	})
	t.Run("attachments", func(t *testing.T) { kivikAttachments(ctx, t, db) })
	t.Run("changes", func(t *testing.T) { kivikChanges(ctx, t, db) })
	t.Run("find", func(t *testing.T) { kivikFind(ctx, t, db) })

	if err := client.DestroyDB(ctx, "user-1"); err != nil {
		t.Fatal(err)
	}
	if ok, err := client.DBExists(ctx, "user-1"); ok || err != nil {
		t.Errorf("DBExists = %v, %v", ok, err)
	}
}

func kivikDocuments(ctx context.Context, t *testing.T, db *kivik.DB) {
	rev, err := db.Put(ctx, "a/b:c@d", thing{"n": 1, "text": "<é>"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Put(ctx, "a/b:c@d", thing{"n": 2}); kivik.HTTPStatus(err) != http.StatusConflict {
		t.Errorf("second writer: %v", err)
	}
	rev2, err := db.Put(ctx, "a/b:c@d", thing{"n": 2, "_rev": rev})
	if err != nil {
		t.Fatal(err)
	}
	var got thing
	if err := db.Get(ctx, "a/b:c@d").ScanDoc(&got); err != nil || got["_rev"] != rev2 || got["n"] != 2.0 || got["_id"] != "a/b:c@d" {
		t.Errorf("Get = %v, %v", got, err)
	}
	if head, err := db.GetRev(ctx, "a/b:c@d"); head != rev2 || err != nil {
		t.Errorf("GetRev = %q, %v; want %q", head, err, rev2)
	}
	if err := db.Get(ctx, "none").Err(); kivik.HTTPStatus(err) != http.StatusNotFound {
		t.Errorf("missing document: %v", err)
	}
	var docs []any
	for i := range 20 {
		docs = append(docs, thing{"_id": fmt.Sprintf("gen-%04d", i), "n": i})
	}
	results, err := db.BulkDocs(ctx, append(docs, thing{"_id": "a/b:c@d"}))
	if err != nil || len(results) != 21 || results[0].Error != nil || kivik.HTTPStatus(results[20].Error) != http.StatusConflict {
		t.Fatalf("BulkDocs = %v, %v", results, err)
	}
	rows := db.AllDocs(ctx, kivik.Params(map[string]any{
		"start_key": "gen-0005", "end_key": "gen-0010", "inclusive_end": false, "include_docs": true,
	}))
	var ids []string
	for rows.Next() {
		id, err := rows.ID()
		var doc struct{ N int }
		if err := errors.Join(err, rows.ScanDoc(&doc)); err != nil || fmt.Sprintf("gen-%04d", doc.N) != id {
			t.Errorf("row %s: %v, %v", id, doc, err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil || len(ids) != 5 || ids[0] != "gen-0005" {
		t.Errorf("AllDocs = %v, %v", ids, err)
	}
	rows = db.AllDocs(ctx, kivik.Param("keys", []string{"gen-0001", "none"}))
	found := 0
	for rows.Next() {
		if _, err := rows.ID(); err == nil {
			found++
		}
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
	rows = db.BulkGet(ctx, []kivik.BulkGetReference{{ID: "gen-0001"}, {ID: "gen-0002"}})
	n := 0
	for rows.Next() {
		var doc thing
		if err := rows.ScanDoc(&doc); err != nil {
			t.Error(err)
		}
		n++
	}
	if err := rows.Err(); err != nil || n != 2 {
		t.Errorf("BulkGet: %d documents, %v", n, err)
	}
	if _, err := db.Delete(ctx, "a/b:c@d", rev2); err != nil {
		t.Error(err)
	}
	rev, err = db.Put(ctx, "_local/state", thing{"seq": "x"})
	if err != nil || rev != "0-1" {
		t.Errorf("local document: %q, %v", rev, err)
	}
	diffs := db.RevsDiff(ctx, map[string][]string{"gen-0001": {"9-abc"}})
	if !diffs.Next() {
		t.Errorf("RevsDiff: no row, %v", diffs.Err())
	}
	for diffs.Next() {
	}
}

func kivikAttachments(ctx context.Context, t *testing.T, db *kivik.DB) {
	body := bytes.Repeat([]byte("sealed mail "), 100_000) // Five chunks.
	rev, err := db.PutAttachment(ctx, "mail", &kivik.Attachment{
		Filename: "body", ContentType: "application/octet-stream", Content: io.NopCloser(bytes.NewReader(body)),
	})
	if err != nil {
		t.Fatal(err)
	}
	att, err := db.GetAttachment(ctx, "mail", "body")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(att.Content)
	if err != nil || !bytes.Equal(got, body) || att.ContentType != "application/octet-stream" {
		t.Errorf("attachment: %d bytes of %s, %v", len(got), att.ContentType, err)
	}
	att.Content.Close()
	rev, err = db.Put(ctx, "mail", thing{
		"_rev": rev, "flags": []string{"seen"},
		"_attachments": thing{"body": thing{"stub": true}, "note": thing{"content_type": "text/plain", "data": "aGk="}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Attachments kivik.Attachments `json:"_attachments"`
	}
	if err := db.Get(ctx, "mail", kivik.Param("attachments", true), couchdb.OptionNoMultipartGet()).ScanDoc(&doc); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(doc.Attachments["body"].Content); err != nil || !bytes.Equal(got, body) {
		t.Errorf("inline: %d bytes, %v", len(got), err)
	}
	rev = kivikMultipart(ctx, t, db, rev, body)
	if rev, err = db.DeleteAttachment(ctx, "mail", rev, "body"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.GetAttachment(ctx, "mail", "body"); kivik.HTTPStatus(err) != http.StatusNotFound {
		t.Errorf("deleted attachment: %v", err)
	}
	_, err = db.Put(ctx, "mail", thing{"_rev": rev, "_attachments": thing{"gone": thing{"stub": true}}})
	if kivik.HTTPStatus(err) != http.StatusPreconditionFailed {
		t.Errorf("unknown stub: %v", err)
	}
}

func kivikChanges(ctx context.Context, t *testing.T, db *kivik.DB) {
	changes := db.Changes(ctx, kivik.Param("since", "now"))
	for changes.Next() {
		t.Error("a change after now")
	}
	meta, err := changes.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	feed, cancel := context.WithCancel(ctx)
	defer cancel()
	live := db.Changes(feed, kivik.Params(map[string]any{"feed": "continuous", "since": meta.LastSeq, "heartbeat": 500, "include_docs": true}))
	defer live.Close()
	go func() {
		for i := range 3 {
			if _, err := db.Put(ctx, fmt.Sprintf("live-%d", i), thing{"i": i}); err != nil {
				t.Errorf("writer: %v", err)
			}
		}
	}()
	var seen []string
	for len(seen) < 3 && live.Next() {
		seen = append(seen, live.ID())
	}
	if want := []string{"live-0", "live-1", "live-2"}; !slices.Equal(seen, want) {
		t.Errorf("continuous feed = %v, %v; want %v", seen, live.Err(), want)
	}
	filtered := db.Changes(ctx, kivik.Params(map[string]any{"filter": "_doc_ids", "doc_ids": []string{"live-1", "none"}}))
	seen = nil
	for filtered.Next() {
		seen = append(seen, filtered.ID())
	}
	if want := []string{"live-1"}; !slices.Equal(seen, want) {
		t.Errorf("_doc_ids = %v, %v; want %v", seen, filtered.Err(), want)
	}
}

func kivikFind(ctx context.Context, t *testing.T, db *kivik.DB) {
	index := thing{"fields": []string{"type", "age"}}
	for range 2 {
		if err := db.CreateIndex(ctx, "people", "by-age", index); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 30 {
		if _, err := db.Put(ctx, fmt.Sprintf("person-%02d", i), thing{"type": "person", "age": i, "name": strings.Repeat("x", i)}); err != nil {
			t.Fatal(err)
		}
	}
	rows := db.Find(ctx, thing{
		"selector": thing{"type": "person", "age": thing{"$gte": 10, "$lt": 20}},
		"sort":     []thing{{"type": "desc"}, {"age": "desc"}}, "fields": []string{"_id", "age"}, "limit": 3,
	})
	var ages []int
	for rows.Next() {
		var p struct{ Age int }
		if err := rows.ScanDoc(&p); err != nil {
			t.Fatal(err)
		}
		ages = append(ages, p.Age)
	}
	if err := rows.Err(); err != nil || !slices.Equal(ages, []int{19, 18, 17}) {
		t.Errorf("Find = %v, %v", ages, err)
	}
	list, err := db.GetIndexes(ctx)
	if err != nil || len(list) != 2 || list[1].Name != "by-age" {
		t.Errorf("GetIndexes = %v, %v", list, err)
	}
	plan, err := db.Explain(ctx, thing{"selector": thing{"type": "person"}, "sort": []string{"type", "age"}})
	if err != nil || plan.Index["name"] != "by-age" {
		t.Errorf("Explain = %v, %v", plan, err)
	}
	if err := db.DeleteIndex(ctx, "people", "by-age"); err != nil {
		t.Error(err)
	}
}
