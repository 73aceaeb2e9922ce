package tufrepo

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"leap.example/updater/target"
)

// version is a release of the client, which differs a little from the one before.
func version(t *testing.T, n int, from string) Addition {
	t.Helper()
	d := target.Description{
		Schema: target.Schema, Release: fmt.Sprint(n), Variant: target.Client, Version: fmt.Sprint(n), OS: "linux", Arch: "amd64", From: from,
		State: target.Range{Oldest: 1, Newest: 1}, LeastRAM: 64,
	}
	custom, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 20_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data) // Never an error.
	for i := range data {
		data[i] &= 0x3f // So that it can be packed.
	}
	data = append(data, bytes.Repeat([]byte{byte(n)}, n)...)
	file := filepath.Join(t.TempDir(), "leapc")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return Addition{Path: d.Path(), File: file, Custom: custom}
}

// TestSmaller expects a release packed and deltas from the five before it, from which
// it can be reached, and that all of that goes with it.
func TestSmaller(t *testing.T) {
	k := signers(t, "alice", "bob", "rollout", "online")
	r := published(t, k)
	var all []Addition
	for n := range 8 {
		all = append(all, version(t, n+1, ""))
	}
	e, err := r.Change(t.Context(), "all", "why", all, nil, begin, nil)
	if err != nil {
		t.Fatal(err)
	}
	signAll(t, e, k)
	if err := r.Publish(t.Context(), "all", k["online"], begin, nil); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		from   string
		deltas int
		want   []int
	}{{"", Deltas, []int{8, 7, 6, 5, 4}}, {"6", Deltas, []int{8, 7, 6}}, {"", 2, []int{8, 7}}, {"", 0, nil}} {
		fresh := version(t, 9, test.from)
		made, err := r.Smaller(t.Context(), []Addition{fresh, {Path: "rollout.json", File: fresh.File}}, test.deltas, t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		e, err := r.Change(t.Context(), "new", "why", append(made, fresh), nil, begin, nil)
		if err != nil {
			t.Fatal(err)
		}
		var from []int
		for _, tr := range e.Travels() {
			if tr.Of != fresh.Path || tr.Full != 20_009 {
				t.Errorf("%+v", tr)
			}
			if tr.From == "" {
				continue
			}
			d, err := target.ParsePath(tr.From)
			if err != nil {
				t.Fatal(err)
			}
			from = append(from, int(d.Version[0]-'0'))
		}
		if slices.Sort(from); len(made) != 1+len(test.want) || !slices.Equal(from, slices.Sorted(slices.Values(test.want))) {
			t.Errorf("from %q, at most %d: deltas from %v and %d files", test.from, test.deltas, from, len(made))
		}
		if test.want == nil {
			break
		}
		if err := r.Drop("new"); err != nil {
			t.Fatal(err)
		}
	}
	// A public file that is damaged makes no delta.
	files, err := r.Targets()
	if err != nil || len(files) != 8 {
		t.Fatalf("%v, %v", files, err)
	}
	last := files[7]
	if err := os.WriteFile(filepath.Join(r.Public(), publicFile(last.Path, last.SHA256)), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Smaller(t.Context(), []Addition{version(t, 9, "")}, Deltas, t.TempDir(), nil); !errors.Is(err, ErrAltered) {
		t.Errorf("from a damaged file: %v", err)
	}
}
