package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/u1db"
	"leap.example/services/soledad"
)

// testAbsent: a database that does not exist says so, whatever it is asked.
func testAbsent(t *testing.T, s Store) {
	ctx := t.Context()
	for what, f := range map[string]func() error{
		"Info":         func() error { _, _, _, err := s.Info(ctx); return err },
		"SyncState":    func() error { _, _, err := s.SyncState(ctx, "a"); return err },
		"SetSyncState": func() error { return s.SetSyncState(ctx, "a", 1, "T-1") },
		"Get":          func() error { _, err := s.Get(ctx, "D-1"); return err },
		"GetMany":      func() error { _, err := s.GetMany(ctx, []string{"D-1"}); return err },
		"Changes":      func() error { _, err := s.Changes(ctx, 0, 10); return err },
		"TransID":      func() error { _, err := s.TransID(ctx, 1); return err },
		"Append": func() error {
			_, err := s.Append(ctx, []u1db.Document{doc("D-1", "a:1", `{}`)}, []string{""})
			return err
		},
		"AddIncoming":    func() error { return s.AddIncoming(ctx, record.Incoming{ID: "m1", Body: []byte("x")}) },
		"Incoming":       func() error { _, err := s.Incoming(ctx, 10); return err },
		"IncomingBody":   func() error { _, err := s.IncomingBody(ctx, "m1"); return err },
		"DeleteIncoming": func() error { return s.DeleteIncoming(ctx, "m1") },
		"PutBlob":        func() error { return s.PutBlob(ctx, "default", "a", nil) },
		"Blob":           func() error { _, err := s.Blob(ctx, "default", "a"); return err },
		"Blobs":          func() error { _, err := s.Blobs(ctx, "default"); return err },
		"SetBlobFlags":   func() error { return s.SetBlobFlags(ctx, "default", "a", nil) },
		"DeleteBlob":     func() error { return s.DeleteBlob(ctx, "default", "a") },
		"Size":           func() error { _, err := s.Size(ctx); return err },
		"BlobBytes":      func() error { _, err := s.BlobBytes(ctx); return err },
	} {
		if err := f(); !errors.Is(err, problem.NotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestShared runs the suite for the shared database. open returns an empty one.
func TestShared(t *testing.T, open func(t *testing.T) soledad.Shared) {
	s := open(t)
	if _, err := s.Get(t.Context(), "x"); !errors.Is(err, problem.NotExist) {
		t.Errorf("an unknown document: %v", err)
	}
	for i, content := range []string{`{"a":1}`, "", `{"b":2}`} {
		prev := ""
		if i > 0 {
			prev = fmt.Sprint("s:", i)
		}
		d := doc("x", fmt.Sprint("s:", i+1), content)
		for _, wrong := range slices.DeleteFunc([]string{"", "s:9"}, func(r string) bool { return r == prev }) {
			err := s.Put(t.Context(), d, wrong)
			if !errors.Is(err, problem.Stale) && (i > 0 || !errors.Is(err, problem.NotExist)) {
				t.Errorf("over %q instead of %q: %v", wrong, prev, err)
			}
		}
		if err := s.Put(t.Context(), d, prev); err != nil {
			t.Fatal(err)
		}
		got, err := s.Get(t.Context(), "x")
		if got.Gen, got.TransID = 0, ""; got != d || err != nil {
			t.Errorf("got %+v, %v; want %+v", got, err, d)
		}
	}
}
