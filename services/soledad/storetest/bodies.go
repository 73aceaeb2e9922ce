package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

func testIncoming(t *testing.T, open func() Store) {
	s := open()
	received := time.Date(2026, 11, 24, 7, 0, 0, 0, time.UTC)
	body := bytes.Repeat([]byte{0, 1, 0xff}, 100)
	for _, id := range []string{"m2", "m1", "m3", "m1"} {
		in := record.Incoming{ID: id, Received: received, Size: int64(len(body)), Body: body}
		if err := s.AddIncoming(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	list, err := open().Incoming(t.Context(), 10)
	if err != nil || len(list) != 3 {
		t.Fatalf("Incoming: %v, %v", list, err)
	}
	for i, in := range list {
		if in.ID != fmt.Sprint("m", i+1) || in.Size != int64(len(body)) || !in.Received.Equal(received) || in.Body != nil {
			t.Errorf("entry %d is %+v", i, in)
		}
	}
	if list, err := s.Incoming(t.Context(), 2); len(list) != 2 || err != nil {
		t.Errorf("Incoming of 2: %v, %v", list, err)
	}
	if got, err := s.IncomingBody(t.Context(), "m2"); !bytes.Equal(got, body) || err != nil {
		t.Errorf("IncomingBody: %d bytes, %v", len(got), err)
	}
	if err := s.DeleteIncoming(t.Context(), "m2"); err != nil {
		t.Errorf("DeleteIncoming: %v", err)
	}
	for what, err := range map[string]error{
		"deleting again": s.DeleteIncoming(t.Context(), "m2"),
		"a body that was deleted": func() error {
			_, err := s.IncomingBody(t.Context(), "m2")
			return err
		}(),
	} {
		if !errors.Is(err, problem.NotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if list, err := open().Incoming(t.Context(), 10); len(list) != 2 || err != nil {
		t.Errorf("two are left: %v, %v", list, err)
	}
	if changes, err := s.Changes(t.Context(), 0, 10); len(changes) != 0 || err != nil {
		t.Errorf("the queue is in the log: %v, %v", changes, err)
	}
}

func blobs(t *testing.T, s Store, ns string) map[string]record.Blob {
	t.Helper()
	list, err := s.Blobs(t.Context(), ns)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]record.Blob{}
	for _, b := range list {
		by[b.ID] = b
	}
	if len(by) != len(list) {
		t.Errorf("a blob is there twice: %v", list)
	}
	return by
}

func testBlobs(t *testing.T, open func() Store) {
	s := open()
	put := func(ns, id, body string) error { return s.PutBlob(t.Context(), ns, id, []byte(body)) }
	for _, err := range []error{put("default", "a", "first"), put("default", "b_-", ""), put("MX", "a", "other")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := put("default", "a", "second"); !errors.Is(err, problem.Exist) {
		t.Errorf("putting again: %v", err)
	}
	for _, b := range []struct{ ns, id, want string }{{"default", "a", "first"}, {"default", "b_-", ""}, {"MX", "a", "other"}} {
		if got, err := open().Blob(t.Context(), b.ns, b.id); string(got) != b.want || err != nil {
			t.Errorf("%s/%s is %q, %v", b.ns, b.id, got, err)
		}
	}
	if n, err := s.BlobBytes(t.Context()); n != 10 || err != nil {
		t.Errorf("BlobBytes: %d, %v", n, err)
	}
	flags := []string{"FAILED", "PENDING"}
	if err := s.SetBlobFlags(t.Context(), "default", "a", flags); err != nil {
		t.Errorf("SetBlobFlags: %v", err)
	}
	got := blobs(t, open(), "default")
	if diff := cmp.Diff(flags, got["a"].Flags); diff != "" || got["a"].Size != 5 || got["a"].Deleted || len(got) != 2 {
		t.Errorf("%+v\nflags: (-want +got)\n%s", got, diff)
	}
	if age := time.Since(got["a"].Created); age < -time.Minute || age > time.Hour {
		t.Errorf("created %v", got["a"].Created)
	}
	if got := blobs(t, s, "nothing"); len(got) != 0 {
		t.Errorf("an unknown namespace has %v", got)
	}
}

func testDeletedBlobs(t *testing.T, open func() Store) {
	s := open()
	gone := func() {
		t.Helper()
		_, err := s.Blob(t.Context(), "default", "a")
		for what, err := range map[string]error{
			"Blob":         err,
			"SetBlobFlags": s.SetBlobFlags(t.Context(), "default", "a", []string{"PENDING"}),
			"DeleteBlob":   s.DeleteBlob(t.Context(), "default", "a"),
		} {
			if !errors.Is(err, problem.NotExist) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	gone()
	for range 2 { // A deleted blob may come back, and go again.
		if err := s.PutBlob(t.Context(), "default", "a", []byte("body")); err != nil {
			t.Fatal(err)
		}
		if b := blobs(t, s, "default")["a"]; b.Deleted || b.Size != 4 {
			t.Errorf("it is %+v", b)
		}
		if err := s.DeleteBlob(t.Context(), "default", "a"); err != nil {
			t.Errorf("DeleteBlob: %v", err)
		}
		gone()
		if b, ok := blobs(t, open(), "default")["a"]; !ok || !b.Deleted {
			t.Errorf("the marker is %+v, %t", b, ok)
		}
		if n, err := s.BlobBytes(t.Context()); n != 0 || err != nil {
			t.Errorf("BlobBytes: %d, %v", n, err)
		}
	}
}
