package tufrepo

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const sum = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// tarOf is a tar with these headers, each with as many bytes as it says.
func tarOf(t testing.TB, list ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range list {
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestReadBundle refuses what is no file of a tree, and writes nothing of it.
func TestReadBundle(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 10} }
	good := file("vendor/metadata/1.root.json")
	for name, list := range map[string][]tar.Header{
		"empty":          {},
		"above":          {good, file("../metadata/timestamp.json")},
		"above, later":   {good, file("vendor/../../x/metadata/timestamp.json")},
		"above a target": {good, file("vendor/targets/../../../" + sum + ".x")},
		"absolute":       {good, file("/vendor/metadata/timestamp.json")},
		"another file":   {good, file("vendor/passwd")},
		"no hash":        {good, file("vendor/targets/node/amd64/1/leap.efi")},
		"half a file":    {good, file("vendor/targets/node/amd64/1/" + sum + ".leap.efi.part")},
		"hidden":         {good, file("vendor/metadata/.x.json")},
		"no log":         {good, file("vendor/log/passwd")},
		"a log's link":   {good, {Typeflag: tar.TypeSymlink, Name: "vendor/log/checkpoint", Linkname: "/etc/passwd"}},
		"a backslash":    {good, file(`vendor/metadata/..\x.json`)},
		"twice":          {good, good},
		"a link":         {good, {Typeflag: tar.TypeSymlink, Name: "vendor/metadata/timestamp.json", Linkname: "/etc/passwd"}},
		"a hard link":    {good, {Typeflag: tar.TypeLink, Name: "vendor/metadata/timestamp.json", Linkname: "vendor/metadata/1.root.json"}},
		"a directory":    {good, {Typeflag: tar.TypeDir, Name: "vendor/metadata/"}},
		"a device":       {good, {Typeflag: tar.TypeChar, Name: "vendor/metadata/timestamp.json"}},
		"too many files": {good, file("vendor/metadata/2.root.json"), file("vendor/metadata/3.root.json"), file("vendor/metadata/4.root.json")},
		"too many bytes": {good, {Typeflag: tar.TypeReg, Name: "vendor/metadata/2.root.json", Size: 100}},
	} {
		dir := filepath.Join(t.TempDir(), "in", "side")
		_, err := ReadBundle(t.Context(), bytes.NewReader(tarOf(t, list...)), dir, BundleLimits{Bytes: 99, Files: 3})
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
		if got := names(t, filepath.Dir(filepath.Dir(dir))); len(list) > 0 && name != "too many files" && !slices.Equal(got, []string{"in/side/vendor/metadata/1.root.json"}) {
			t.Errorf("%s: there is %v", name, got)
		}
	}
	whole := tarOf(t, file("vendor/log/checkpoint"), good, file("vendor/log/root.1.proof"), file("vendor/targets/node/amd64/1/"+sum+".leap.efi"), file("director/metadata/role%2Fx.json"))
	dir := t.TempDir()
	trees, err := ReadBundle(t.Context(), bytes.NewReader(whole), dir, DefaultBundle)
	if err != nil || !slices.Equal(trees, []string{"vendor", "director"}) || len(names(t, dir)) != 3 {
		t.Errorf("a good one: %v, %v, %v", trees, err, names(t, dir))
	}
	big := tarOf(t, good, tar.Header{Typeflag: tar.TypeReg, Name: "vendor/log/checkpoint", Size: 64<<10 + 1})
	if _, err := ReadBundle(t.Context(), bytes.NewReader(big), t.TempDir(), DefaultBundle); !errors.Is(err, ErrFormat) {
		t.Errorf("a log that is too big: %v", err)
	}
	if _, err := ReadBundle(t.Context(), bytes.NewReader(whole[:515]), t.TempDir(), DefaultBundle); !errors.Is(err, ErrFormat) {
		t.Errorf("half a bundle: %v", err)
	}
}

// TestLogNames are reserved, and no others with them; none is one of a copy's.
func TestLogNames(t *testing.T) {
	for name, want := range map[string]bool{
		"log/checkpoint":              true,
		"log/root.12.proof":           true,
		"log/role%2Fx.y.1.proof":      true,
		"log/":                        false,
		"checkpoint":                  false,
		"log/checkpoint2":             false,
		"log/root.proof":              false,
		"log/root.0.proof":            false,
		"log/root.01.proof":           false,
		"log/root.-1.proof":           false,
		"log/.1.proof":                false,
		"log/..1.proof":               false,
		"log/../x.1.proof":            false,
		`log/..\x.1.proof`:            false,
		"log/a/b.1.proof":             false,
		"metadata/1.root.json":        false,
		"targets/" + sum + ".1.proof": false,
	} {
		if got := logName(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
		if want && publicName(name) {
			t.Errorf("%s is served", name)
		}
	}
}

// names are the files below a directory.
func names(t testing.TB, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, strings.TrimPrefix(p, dir+string(filepath.Separator)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func FuzzReadBundle(f *testing.F) {
	f.Add(tarOf(f, tar.Header{Typeflag: tar.TypeReg, Name: "vendor/metadata/1.root.json", Size: 3}, tar.Header{Typeflag: tar.TypeReg, Name: "vendor/targets/a/" + sum + ".b", Size: 3}))
	f.Add(tarOf(f, tar.Header{Typeflag: tar.TypeReg, Name: "../metadata/1.root.json", Size: 3}))
	f.Fuzz(func(t *testing.T, data []byte) {
		above := t.TempDir()
		dir := filepath.Join(above, "in")
		limits := BundleLimits{Bytes: 4096, Files: 8}
		trees, err := ReadBundle(t.Context(), bytes.NewReader(data), dir, limits)
		list := names(t, above)
		size := int64(0)
		for _, name := range list {
			if !strings.HasPrefix(name, "in/") {
				t.Fatalf("%q is outside", name)
			}
			info, err := os.Lstat(filepath.Join(above, name))
			if err != nil || !info.Mode().IsRegular() {
				t.Fatalf("%q: %v, %v", name, info, err)
			}
			size += info.Size()
		}
		if size > limits.Bytes || len(list) > limits.Files {
			t.Fatalf("%d files of %d bytes", len(list), size)
		}
		if err != nil {
			return
		}
		// What was read is written and read again.
		var again bytes.Buffer
		var all []BundleTree
		for _, tree := range trees {
			all = append(all, BundleTree{tree, filepath.Join(dir, tree), names(t, filepath.Join(dir, tree))})
		}
		if err := WriteBundle(t.Context(), &again, all, nil); err != nil {
			t.Fatal(err)
		}
		other := filepath.Join(above, "again")
		if _, err := ReadBundle(t.Context(), &again, other, limits); err != nil || len(names(t, other)) != len(list) {
			t.Errorf("again: %v", err)
		}
	})
}
