package release_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/efi"
	"leap.example/image/release"
	"leap.example/image/uki"
	"leap.example/updater/target"
	"leap.example/updater/tufrepo"
	"leap.example/updater/tuftest"
)

// standin is built in the place of leapd and leapc: building these takes minutes,
// and "make reproducible" does it.
const standin = `package main

import _ "embed"

var version, built string

//go:embed vendor.json
var vendor string

func main() { println(version, built, vendor) }
`

// module writes a module with the stand-in in the place of both.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module leap.example\n\ngo 1.26.0\n", "client/cmd/leapc/main.go": standin, "appliance/cmd/leapd/main.go": standin,
		"client/cmd/leapc/vendor.json": "{}", "appliance/cmd/leapd/vendor.json": "{}",
	} {
		file := filepath.Join(dir, name)
		check(t, os.MkdirAll(filepath.Dir(file), 0o700))
		check(t, os.WriteFile(file, []byte(text), 0o600))
	}
	return dir
}

// TestTree makes a release twice, of two copies of the source: it is the same, it
// has the files that are to be published, and the manifests say what they are.
func TestTree(t *testing.T) {
	if _, err := os.Stat("/usr/lib/systemd/boot/efi/linuxx64.efi.stub"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("stub and boot loader (Debian: systemd-boot-efi) are not installed")
	}
	kernel := filepath.Join(t.TempDir(), "vmlinuz")
	check(t, os.WriteFile(kernel, bzImage(), 0o600))
	root := tuftest.New(t, time.Now()).Files["metadata/1.root.json"]
	inside, err := tufrepo.RootDigest(root)
	check(t, err)
	vendor, err := json.Marshal(map[string]json.RawMessage{"root": root})
	check(t, err)
	var trees []map[string]string
	for range 2 {
		source, dir := module(t), t.TempDir()
		program := filepath.Join(t.TempDir(), "leapd")
		check(t, uki.Compile(t.Context(), source, "./appliance/cmd/leapd", program))
		paths, err := release.Tree(t.Context(), dir, release.Making{
			Node: uki.Options{
				Source: source, Program: program, Kernel: kernel, Services: []string{"agent"}, Vendor: root,
				Release: efi.Release{Version: "1.2.0", OldestSchema: 1, NewestSchema: 2, LeastRAM: 512, Built: time.Unix(1_800_000_000, 0).UTC()},
			},
			Sources: []string{"https://vendor.example/leap/"},
			Clients: []release.Client{{Platform: uki.Platform{OS: "linux", Arch: "amd64"}}, {Platform: uki.Platform{OS: "linux", Arch: "arm64"}}},
		})
		check(t, err)
		files := map[string]string{}
		for _, p := range paths {
			text, err := os.ReadFile(filepath.Join(dir, p))
			check(t, err)
			files[p] = string(text)
			if strings.Contains(files[p], source) {
				t.Errorf("%s has the path of the source in it", p)
			}
		}
		trees = append(trees, files)
	}
	if !maps.Equal(trees[0], trees[1]) {
		t.Error("two builds of the same source differ")
	}
	want := []string{
		"client/linux-amd64/1.2.0/leapc", "client/linux-amd64/1.2.0/manifest.json", "client/linux-amd64/1.2.0/sbom.json",
		"client/linux-arm64/1.2.0/leapc", "client/linux-arm64/1.2.0/manifest.json", "client/linux-arm64/1.2.0/sbom.json",
		"node/amd64/1.2.0/leap.efi", "node/amd64/1.2.0/manifest.json", "node/amd64/1.2.0/sbom.json",
	}
	if got := slices.Sorted(maps.Keys(trees[0])); !slices.Equal(got, want) {
		t.Errorf("the files are %v", got)
	}
	for path, text := range trees[0] {
		if filepath.Base(path) != "manifest.json" {
			continue
		}
		d, err := target.Parse([]byte(text))
		if err != nil || filepath.Dir(d.Path()) != filepath.Dir(path) || d.Release != "1.2.0" || d.Vendor != inside {
			t.Errorf("%s is of %+v, %v", path, d, err)
		}
		for _, part := range []string{"1.2.0", "2027-01-15T08:00:00Z", `{"schema":1,` + strings.TrimSuffix(strings.TrimPrefix(string(vendor), "{"), "}") + `,"sources":["https://vendor.example/leap/"]}`} {
			if d.Variant == target.Client && !strings.Contains(trees[0][d.Path()], part) {
				t.Errorf("%s does not know %s", d.Path(), part)
			}
		}
	}
}

// TestTreeRefuses expects that nobody builds clients that would update from a place
// whose signers they do not know.
func TestTreeRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, m := range []release.Making{{Sources: []string{"https://vendor.example/"}}, {Node: uki.Options{Vendor: []byte("{}")}}} {
		if _, err := release.Tree(t.Context(), dir, m); err == nil || !strings.Contains(err.Error(), "without the other") {
			t.Errorf("%v", err)
		}
	}
	sources := []string{"https://vendor.example/"}
	if _, err := release.Tree(t.Context(), dir, release.Making{Sources: sources, Node: uki.Options{Vendor: []byte("{}")}}); err == nil || !strings.Contains(err.Error(), "the root of the vendor") {
		t.Errorf("what is no root: %v", err)
	}
	program := filepath.Join(dir, "leapc")
	check(t, os.WriteFile(program, []byte(`built before, for {"schema":1}`), 0o600))
	m := release.Making{
		Sources: sources, Node: uki.Options{Vendor: tuftest.New(t, time.Now()).Files["metadata/1.root.json"]},
		Clients: []release.Client{{Platform: uki.Platform{OS: "linux", Arch: "amd64"}, Program: program}},
	}
	if _, err := release.Tree(t.Context(), dir, m); err == nil || !strings.Contains(err.Error(), "is not built with this vendor") {
		t.Errorf("a client of somebody else: %v", err)
	}
}

// bzImage is the head of a kernel, as far as it is read.
func bzImage() []byte {
	b := make([]byte, 4096)
	copy(b[0x202:], "HdrS")
	b[0x20e] = 0x80
	copy(b[0x280:], "7.1.2 (somebody)")
	return b
}
