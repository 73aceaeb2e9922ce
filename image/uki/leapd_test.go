package uki_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"leap.example/appliance/efi"
)

// TestLeapd builds the release of this source, in its place and in a copy.
// It takes what building leapd takes, and records the figures.
func TestLeapd(t *testing.T) {
	if testing.Short() {
		t.Skip("building leapd takes long")
	}
	o := options(t)
	o.Program = ""
	original := o.Source
	here := build(t, o)
	o.Source = copyModule(t, o.Source)
	there := build(t, o)
	if !bytes.Equal(here.UKI, there.UKI) {
		t.Error("the same source in another directory makes another release")
	}
	u := open(t, here.UKI)
	for _, f := range unpack(t, section(t, u, efi.SectionInitrd)) {
		for _, dir := range []string{original, o.Source} {
			if bytes.Contains(f.data, []byte(dir+"/")) {
				t.Errorf("/%s contains the path %s", f.path, dir)
			}
		}
	}
	if !bytes.Contains(here.SBOM, []byte("pkg:golang/github.com/spf13/cobra@")) {
		t.Error("the bill of materials lacks a module")
	}

	const limit = 80e6
	var sent countingWriter
	w, err := zstd.NewWriter(&sent, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(3)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(here.UKI); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("release %.1f MB, by zstd -3 %.1f MB", float64(len(here.UKI))/1e6, float64(sent)/1e6)
	if len(here.UKI) > limit {
		t.Errorf("the release has %d bytes, more than %.0f", len(here.UKI), limit)
	}
}

// countingWriter counts what is written to it.
type countingWriter int64

func (c *countingWriter) Write(p []byte) (int, error) {
	*c += countingWriter(len(p))
	return len(p), nil
}

// copyModule copies a module's files without what is hidden or built.
func copyModule(t *testing.T, from string) (to string) {
	t.Helper()
	to = t.TempDir()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); rel == "bin" || rel == "var" || name == "node_modules" || rel != "." && strings.HasPrefix(name, ".") {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}
