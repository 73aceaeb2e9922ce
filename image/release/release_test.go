package release_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"leap.example/appliance/efi/efitest"
	"leap.example/image/release"
	"leap.example/image/uki"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestKeep keeps releases, one of them twice, and finds them again.
func TestKeep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "releases")
	if _, err := release.Open(dir, ""); !errors.Is(err, release.ErrNone) {
		t.Errorf("without a directory: %v", err)
	}
	if list, err := release.List(dir); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
	for _, version := range []string{"1.10.0", "1.9.0", "1.10.0"} {
		b := &uki.Build{UKI: efitest.UKI(version, "kernel", "files"), BootLoader: efitest.Program(".text", "boot loader"), SBOM: []byte("{}")}
		r, err := release.Keep(t.Context(), dir, b, release.Options{Version: version, Built: time.Unix(1_700_000_000, 0)})
		check(t, err)
		if len(r.Files) != 4 || r.Dir != filepath.Join(dir, version) {
			t.Errorf("%+v", r)
		}
		for _, f := range r.Files {
			if info, err := os.Stat(filepath.Join(r.Dir, f.Name)); err != nil || info.Size() != f.Size || len(f.SHA256) != 64 {
				t.Errorf("%+v: %v", f, err)
			}
		}
	}
	if r, err := release.Open(dir, ""); err != nil || r.Version != "1.10.0" {
		t.Errorf("the newest is %+v, %v", r, err)
	}
	if list, err := release.List(dir); err != nil || len(list) != 2 || list[0].Version != "1.9.0" {
		t.Errorf("%v, %v", list, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".new-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind are %q, %v", left, err)
	}
	for _, version := range []string{"2.0.0", "../1.9.0"} {
		if _, err := release.Open(dir, version); err == nil {
			t.Errorf("there is %q", version)
		}
	}
	check(t, os.Rename(filepath.Join(dir, "1.9.0"), filepath.Join(dir, "1.8.0")))
	if _, err := release.Open(dir, "1.8.0"); err == nil {
		t.Error("a release under another version is opened")
	}
}
