package updates_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// programs are mains that use nothing but what a client of updates needs anyway,
// that and go-tuf's metadata, and that and the whole client.
var programs = map[string]string{
	"bare": program("", ""),
	"tuf": program(`
	"github.com/theupdateframework/go-tuf/v2/metadata"`, `
	root, err := new(metadata.Metadata[metadata.RootType]).FromBytes([]byte(os.Args[1]))
	timestamp, _ := new(metadata.Metadata[metadata.TimestampType]).FromBytes([]byte(os.Args[1]))
	snapshot, _ := new(metadata.Metadata[metadata.SnapshotType]).FromBytes([]byte(os.Args[1]))
	targets, _ := new(metadata.Metadata[metadata.TargetsType]).FromBytes([]byte(os.Args[1]))
	fmt.Println(err, root.VerifyDelegate("timestamp", timestamp), root.VerifyDelegate("snapshot", snapshot), root.VerifyDelegate("targets", targets))`),
	"client": program(`
	"context"
	"leap.example/updater/target"
	"leap.example/updater/tufclient"`, `
	source, err := tufclient.NewHTTP(os.Args[1], nil)
	c, err := tufclient.Open(tufclient.Config{Repositories: []tufclient.Repository{{Sources: []tufclient.Source{source}}}})
	view, err := c.Check(context.Background())
	o, err := view.Offer(context.Background(), target.Machine{}, func(string) int { return 0 })
	t, err := c.SaveFrom(context.Background(), view, o.Target, &tufclient.Old{}, os.Args[1], 0o600)
	fmt.Println(t, err)`),
}

// program is the main that all are, with more imports and lines.
func program(imports, lines string) string {
	return `package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"` + imports + `
)

func main() {
	r, err := http.Get(os.Args[1])
	var v map[string]any
	fmt.Println(err, json.NewDecoder(r.Body).Decode(&v), sha256.Sum256(nil), ed25519.Verify(nil, nil, nil))` + lines + `
}
`
}

// size measures what go-tuf and the client add to a program.
func size(b *testing.B) {
	dir := b.TempDir()
	sizes := map[string]float64{}
	for name, text := range programs {
		out := filepath.Join(dir, name)
		goBuild(b, out, "./tests/bench/updates/"+name, map[string]string{"tests/bench/updates/" + name + "/main.go": text})
		info, err := os.Stat(out)
		must(b, err)
		sizes[name] = float64(info.Size()) / 1e6
	}
	b.ReportMetric(sizes["bare"], "bare-MB")
	b.ReportMetric(sizes["tuf"]-sizes["bare"], "tuf-MB")
	b.ReportMetric(sizes["client"]-sizes["bare"], "client-MB")
}

// goBuild builds a program of this module as releases are built, with more files
// in it.
func goBuild(b *testing.B, out, program string, files map[string]string) {
	b.Helper()
	dir := b.TempDir()
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	for name, text := range files {
		file := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		must(b, os.WriteFile(file, []byte(text), 0o600))
		overlay.Replace[filepath.Join(root(b), name)] = file
	}
	text, err := json.Marshal(overlay)
	must(b, err)
	file := filepath.Join(dir, "overlay.json")
	must(b, os.WriteFile(file, text, 0o600))
	cmd := exec.CommandContext(b.Context(), "go", "build", "-overlay", file, "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, program)
	cmd.Dir, cmd.Env = root(b), append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("building %s: %v\n%s", program, err, said)
	}
}
