package updates_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/efi"
	"leap.example/appliance/node"
	"leap.example/image/uki"
	"leap.example/updater/delta"
	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// added is the small change of the source: a function in the middle of everything,
// so that all that follows it moves.
const added = `package soledad

import "os"

func init() { small(len(os.Args), os.Args[0]) }

//go:noinline
func small(n int, name string) {
	for i := range n - 1000 {
		println("a small change", name, i)
	}
}
`

// A pair is two releases of this source, and what leads from one to the other.
type pair struct {
	dir          string
	whole, delta []byte // Of the second: packed; and its difference to the first.
}

// The files in the directory of a pair, in which processes do their tasks.
const (
	oldFile    = "old.efi"
	newFile    = "new.efi"
	deltaFile  = "delta.bsz"
	sourceFile = "source.json"
)

// release builds both, as "leap image build" does.
func (p *pair) release(b *testing.B) {
	for name, version := range map[string]string{oldFile: "1.0.0", newFile: "1.0.1"} {
		files := map[string]string{}
		if name == newFile {
			files["services/soledad/small_change.go"] = added
		}
		program := filepath.Join(b.TempDir(), "leapd")
		goBuild(b, program, "./appliance/cmd/leapd", files)
		made, err := uki.Make(b.Context(), uki.Options{
			Source: root(b), Program: program, Services: slices.Concat([]string{"agent"}, node.Services()),
			Release: efi.Release{Version: version, OldestSchema: node.OldestSchema, NewestSchema: node.Schema, LeastRAM: 512, Built: time.Unix(1_800_000_000, 0).UTC()},
		})
		must(b, err)
		must(b, os.WriteFile(filepath.Join(p.dir, name), made.UKI, 0o600))
	}
	fresh, err := os.ReadFile(filepath.Join(p.dir, newFile))
	must(b, err)
	var packed bytes.Buffer
	must(b, delta.Pack(&packed, bytes.NewReader(fresh)))
	p.whole = packed.Bytes()
	b.ReportMetric(float64(len(fresh))/1e6, "MB")
	b.ReportMetric(float64(len(p.whole))/1e6, "packed-MB")
}

// build makes the delta.
func (p *pair) build(b *testing.B) {
	run(b, "build", p.dir)
	var err error
	p.delta, err = os.ReadFile(filepath.Join(p.dir, deltaFile))
	must(b, err)
	b.ReportMetric(float64(len(p.delta))/1e3, "delta-KB")
	b.ReportMetric(100*float64(len(p.delta))/float64(len(p.whole)), "%-of-packed")
}

// apply applies it.
func (p *pair) apply(b *testing.B) { run(b, "apply", p.dir) }

// fetch fetches the second release from a server, with what is there for one way.
func (p *pair) fetch(b *testing.B, way string) {
	fresh, err := os.ReadFile(filepath.Join(p.dir, newFile))
	must(b, err)
	old, err := os.ReadFile(filepath.Join(p.dir, oldFile))
	must(b, err)
	repo := tuftest.New(b, time.Now())
	path, custom := described(b, "1.0.1")
	repo.Add("release", path, fresh, custom)
	switch way {
	case "delta":
		repo.Add("release", target.DeltaPath(sha256.Sum256(old), sha256.Sum256(fresh)), p.delta, nil)
	case "packed":
		repo.Add("release", target.PackedPath(path), p.whole, nil)
	}
	repo.Next("release")
	repo.Publish()
	server := httptest.NewServer(repo.Mirror())
	defer server.Close()
	text, err := json.Marshal(source{server.URL + "/repo", string(repo.RootFile(1)), path, way})
	must(b, err)
	must(b, os.WriteFile(filepath.Join(p.dir, sourceFile), text, 0o600))
	run(b, "fetch", p.dir)
}

// A source is what a process that fetches is told.
type source struct{ URL, Root, Path, Way string }

// tasks are what processes do, in the directory of a pair.
var tasks = map[string]func() error{"build": buildTask, "apply": applyTask, "fetch": fetchTask}

func buildTask() error {
	old, err1 := os.ReadFile(oldFile)
	fresh, err2 := os.ReadFile(newFile)
	f, err3 := os.Create(deltaFile)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	return errors.Join(delta.Build(context.Background(), f, old, fresh, nil), f.Close())
}

// installed is the old release as a node has it: open, and its hash known.
func installed() (*tufclient.Old, error) {
	f, err := os.Open(oldFile)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	return &tufclient.Old{ReaderAt: f, SHA256: [sha256.Size]byte(sum.Sum(nil)), Length: n}, err
}

func applyTask() error {
	old, err1 := installed()
	patch, err2 := os.Open(deltaFile)
	out, err3 := os.Create("applied.efi")
	fresh, err4 := os.Open(newFile)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, fresh)
	if err != nil {
		return err
	}
	h := delta.Header{Old: old.SHA256, OldLength: old.Length, New: [sha256.Size]byte(sum.Sum(nil)), NewLength: n}
	return errors.Join(delta.Apply(context.Background(), out, old, patch, h), out.Close())
}

func fetchTask() error {
	text, err := os.ReadFile(sourceFile)
	if err != nil {
		return err
	}
	var s source
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	old, err1 := installed()
	from, err2 := tufclient.NewHTTP(s.URL, nil)
	dir, err3 := os.MkdirTemp(".", "trusted-")
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	c, err := tufclient.Open(tufclient.Config{Repositories: []tufclient.Repository{{Name: "vendor", Root: []byte(s.Root), Sources: []tufclient.Source{from}}}, Dir: dir})
	if err != nil {
		return err
	}
	v, err := c.Check(context.Background())
	if err != nil {
		return err
	}
	t, err := v.Lookup(context.Background(), s.Path)
	if err != nil {
		return err
	}
	tr, err := c.SaveFrom(context.Background(), v, t, old, filepath.Join(dir, "new.efi"), 0o600)
	want := map[string]string{"delta": ".bsz", "packed": ".zst", "full": ".efi"}[s.Way]
	if err == nil && !strings.HasSuffix(tr.Path, want) {
		err = fmt.Errorf("it came by %+v", tr)
	}
	return err
}
