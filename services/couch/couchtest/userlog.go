package couchtest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"leap.example/services/couch"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/u1db"
)

func (s Server) changes(t *testing.T) {
	ctx := limited(t)
	db, _ := s.UserDB(t)
	list, err := db.Changes(ctx, 0, 10)
	ok(t, "changes of an empty database", err)
	if len(list) != 0 {
		t.Errorf("changes of an empty database: %v", list)
	}
	var last []u1db.Change
	for i, id := range []string{"a", "b", "a", "c", "b", "a"} { // 1 to 6
		prev := ""
		if d, err := db.Get(ctx, id); err == nil {
			prev = d.Rev
		}
		c, err := db.Append(ctx, []u1db.Document{newDocument(id, fmt.Sprintf("r:%d", i+1))}, []string{prev})
		ok(t, "appending", err)
		last = append(last, c[0])
	}
	for _, tt := range []struct {
		since, limit int
		want         []u1db.Change
	}{
		{0, 10, []u1db.Change{last[3], last[4], last[5]}},
		{-1, 2, []u1db.Change{last[3], last[4]}},
		{0, 1, last[3:4]},
		{3, 10, last[3:]},
		{4, 10, last[4:]},
		{5, 10, last[5:]},
		{6, 10, nil},
		{60, 10, nil},
	} {
		got, err := db.Changes(ctx, tt.since, tt.limit)
		ok(t, "changes", err)
		same(t, fmt.Sprintf("changes after %d, limit %d", tt.since, tt.limit), append([]u1db.Change(nil), got...), tt.want)
	}
	for i, c := range last { // Also of generations that are not the newest of their document.
		trans, err := db.TransID(ctx, i+1)
		ok(t, "a transaction id", err)
		if trans != c.TransID {
			t.Errorf("generation %d is %s, want %s", i+1, trans, c.TransID)
		}
	}
}

// manyDocuments appends more than fits into one request.
func (s Server) manyDocuments(t *testing.T) {
	ctx := limited(t)
	db, _ := s.UserDB(t)
	const n = 230
	var docs []u1db.Document
	for i := range n {
		docs = append(docs, newDocument(fmt.Sprintf("D-%03d", i), "r:1"))
	}
	docs[7].Content = `{"raw":"` + strings.Repeat("x", 3<<20) + `"}`
	docs[8].Content = `{"raw":"` + strings.Repeat("y", 3<<20) + `"}`
	changes, err := db.Append(ctx, docs, make([]string, n))
	ok(t, "appending many", err)
	got, err := db.Changes(ctx, 0, n)
	ok(t, "changes", err)
	same(t, "the changes", got, changes)
	var ids []string
	for i := range docs {
		docs[i].Gen, docs[i].TransID = changes[i].Gen, changes[i].TransID
		ids = append(ids, docs[i].ID)
	}
	back, err := db.GetMany(ctx, ids)
	ok(t, "reading many", err)
	same(t, "the documents", back, docs)
	t.Run("a huge document", func(t *testing.T) { s.hugeDocument(t, db) })
}

// hugeDocument is refused, and not in the way of others.
func (s Server) hugeDocument(t *testing.T, db *couch.UserDB) {
	ctx := limited(t)
	huge := newDocument("huge", "r:1")
	huge.Content = strings.Repeat("z", 9_000_000)
	is(t, "a huge document", second(db.Append(ctx, []u1db.Document{huge}, []string{""})), problem.Limit)
	changes, err := db.Append(ctx, []u1db.Document{newDocument("after", "r:1")}, []string{""})
	ok(t, "appending after a huge document", err)
	_, gen, _, err := db.Info(ctx)
	ok(t, "information", err)
	if gen != changes[0].Gen {
		t.Errorf("at %d, want %d: what was refused is in the way", gen, changes[0].Gen)
	}
}

func (s Server) syncState(t *testing.T) {
	ctx := limited(t)
	db, _ := s.UserDB(t)
	source := random()
	for want := range 4 {
		gen, trans, err := db.SyncState(ctx, source)
		ok(t, "the sync state", err)
		if gen != want || trans != strings.Repeat("T", want) {
			t.Errorf("the sync state is %d, %q; want %d", gen, trans, want)
		}
		ok(t, "setting the sync state", db.SetSyncState(ctx, source, want+1, strings.Repeat("T", want+1)))
	}
	_, _, err := db.SyncState(ctx, "a/b")
	is(t, "a malformed replica", err, problem.Invalid)
}

func (s Server) wait(t *testing.T) {
	ctx := limited(t)
	db, user := s.UserDB(t)
	ok(t, "the first wait", db.Wait(ctx))
	mx := s.DB(t, "leap_mx").UserDBs().Open(user)
	for name, change := range map[string]func() error{
		"incoming mail": func() error { return mx.AddIncoming(ctx, record.Incoming{ID: random(), Body: []byte("x")}) },
		"a document": func() error {
			return second(db.Append(ctx, []u1db.Document{newDocument(random(), "r:1")}, []string{""}))
		},
	} {
		woken := make(chan error, 1)
		go func() { woken <- db.Wait(ctx) }()
		ok(t, name, change())
		ok(t, "waking by "+name, <-woken)
		// A change may wake more than once; settle before the next one.
		for quiet := false; !quiet; {
			done := make(chan error, 1)
			go func() { done <- db.Wait(ctx) }()
			select {
			case err := <-done:
				ok(t, "waiting on", err)
			case <-time.After(200 * time.Millisecond):
				quiet = true
				ok(t, "waking the last one", mx.AddIncoming(ctx, record.Incoming{ID: random(), Body: []byte("y")}))
				ok(t, "waiting on", <-done)
			}
		}
	}
}

func (s Server) incoming(t *testing.T) {
	ctx := limited(t)
	db, user := s.UserDB(t)
	mx := s.DB(t, "leap_mx").UserDBs().Open(user)
	received := time.Date(2026, 5, 6, 7, 0, 0, 0, time.UTC)
	for i, id := range []string{"002-b", "001-a", "003-c"} {
		in := record.Incoming{ID: id, Received: received.Add(17 * time.Minute), Body: bytes.Repeat([]byte{byte(i)}, 100+i)}
		ok(t, "adding", mx.AddIncoming(ctx, in))
		ok(t, "adding again", mx.AddIncoming(ctx, in))
	}
	is(t, "a malformed id", mx.AddIncoming(ctx, record.Incoming{ID: "a/b"}), problem.Invalid)
	list, err := db.Incoming(ctx, 2)
	ok(t, "listing", err)
	for i := range list {
		if list[i].Rev == "" {
			t.Error("an entry has no Rev")
		}
		list[i].Rev = ""
	}
	same(t, "the queue", list, []record.Incoming{
		{ID: "001-a", Received: received, Size: 101}, {ID: "002-b", Received: received, Size: 100},
	})
	body, err := db.IncomingBody(ctx, "003-c")
	ok(t, "reading a body", err)
	same(t, "a body", body, bytes.Repeat([]byte{2}, 102))
	is(t, "no message", second(db.IncomingBody(ctx, "004-d")), problem.NotExist)
	is(t, "a strange id", second(db.IncomingBody(ctx, "../x")), problem.NotExist)
	ok(t, "deleting", db.DeleteIncoming(ctx, "001-a"))
	is(t, "deleting again", db.DeleteIncoming(ctx, "001-a"), problem.NotExist)
	list, err = db.Incoming(ctx, 10)
	ok(t, "listing", err)
	if len(list) != 2 {
		t.Errorf("%d are left, want 2", len(list))
	}
}

func (s Server) blobs(t *testing.T) {
	ctx := limited(t)
	db, _ := s.UserDB(t)
	ok(t, "storing", db.PutBlob(ctx, "default", "one", []byte("content")))
	ok(t, "storing nothing", db.PutBlob(ctx, "default", "empty", nil))
	ok(t, "another namespace", db.PutBlob(ctx, "default-one", "one", []byte("other")))
	is(t, "storing again", db.PutBlob(ctx, "default", "one", []byte("x")), problem.Exist)
	is(t, "a malformed name", db.PutBlob(ctx, "default", "a:b", nil), problem.Invalid)
	for name, want := range map[string]string{"one": "content", "empty": ""} {
		got, err := db.Blob(ctx, "default", name)
		ok(t, "reading "+name, err)
		if string(got) != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	is(t, "no blob", second(db.Blob(ctx, "default", "none")), problem.NotExist)
	ok(t, "flags", db.SetBlobFlags(ctx, "default", "one", []string{"PENDING"}))
	is(t, "flags of nothing", db.SetBlobFlags(ctx, "default", "none", nil), problem.NotExist)
	got, err := db.Blob(ctx, "default", "one")
	ok(t, "reading after the flags", err)
	if string(got) != "content" {
		t.Errorf("after the flags it is %q", got)
	}
	sum, err := db.BlobBytes(ctx)
	ok(t, "the sum", err)
	if sum != 12 {
		t.Errorf("the sum is %d, want 12", sum)
	}
	ok(t, "deleting", db.DeleteBlob(ctx, "default", "one"))
	is(t, "deleting again", db.DeleteBlob(ctx, "default", "one"), problem.NotExist)
	is(t, "reading what was deleted", second(db.Blob(ctx, "default", "one")), problem.NotExist)
	list, err := db.Blobs(ctx, "default")
	ok(t, "listing", err)
	for i := range list {
		if list[i].Created.IsZero() {
			t.Error("a blob has no date")
		}
		list[i].Created = time.Time{}
	}
	same(t, "the blobs", list, []record.Blob{{ID: "empty"}, {ID: "one", Deleted: true}})
	if sum, err := db.BlobBytes(ctx); err != nil || sum != 5 {
		t.Errorf("the sum is %d, %v; want 5", sum, err)
	}
	good, _ := count(t, "storing what was deleted", together(2, func(int) error {
		return db.PutBlob(ctx, "default", "one", []byte("x"))
	}), problem.Exist)
	if got, err := db.Blob(ctx, "default", "one"); good != 1 || err != nil || string(got) != "x" {
		t.Errorf("stored again %d times: %q, %v", good, got, err)
	}
}

// largeBodies stores what does not go into a document's request.
func (s Server) largeBodies(t *testing.T) {
	ctx := limited(t)
	db, _ := s.UserDB(t)
	large := make([]byte, 9<<20)
	for i := range large {
		large[i] = byte(i * i >> 8)
	}
	good, _ := count(t, "storing one large blob", together(2, func(int) error {
		return db.PutBlob(ctx, "default", "large", large)
	}), problem.Exist)
	if good == 0 {
		t.Error("nobody stored the large blob")
	}
	got, err := db.Blob(ctx, "default", "large")
	ok(t, "reading", err)
	if sha256.Sum256(got) != sha256.Sum256(large) {
		t.Errorf("%d bytes came back, another content", len(got))
	}
	ok(t, "flags", db.SetBlobFlags(ctx, "default", "large", []string{"PROCESSED"}))
	list, err := db.Blobs(ctx, "default")
	ok(t, "listing", err)
	if len(list) != 1 || list[0].Size != int64(len(large)) || len(list[0].Flags) != 1 {
		t.Errorf("listed as %+v", list)
	}
	ok(t, "a large message", db.AddIncoming(ctx, record.Incoming{ID: "large", Body: large}))
	body, err := db.IncomingBody(ctx, "large")
	ok(t, "reading the message", err)
	if len(body) != len(large) {
		t.Errorf("%d bytes came back, want %d", len(body), len(large))
	}
}
