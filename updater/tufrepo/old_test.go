package tufrepo

import (
	"path/filepath"
	"testing"
	"time"
)

// TestOldFormats: what earlier versions wrote stays readable: a repository with a
// release that one of two has signed.
func TestOldFormats(t *testing.T) {
	const dir = "testdata/v1"
	r, err := Open(dir)
	if err != nil || r.Name() != "vendor.example" {
		t.Fatalf("got %v, %v", r, err)
	}
	if _, err := Verify(t.Context(), r.Public(), nil, false, time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC), nil); err != nil {
		t.Error(err)
	}
	names, err := r.Events()
	if err != nil || len(names) != 1 {
		t.Fatalf("got %q, %v", names, err)
	}
	e, err := ReadEvent(r.EventDir(names[0]))
	if err != nil {
		t.Fatal(err)
	}
	list, err := e.Tally()
	if err != nil || len(list) != 1 || len(list[0].Signed) != 1 || list[0].Groups[0].Have != 1 || len(list[0].Refused) > 0 {
		t.Errorf("got %+v, %v", list, err)
	}
	k, err := ReadPublicKey("", filepath.Join(dir, "alice.pub"))
	if err != nil || k.Name != "alice" || len(e.SignsFor(k.ID())) != 1 {
		t.Errorf("got %+v, %v", k, err)
	}
}
