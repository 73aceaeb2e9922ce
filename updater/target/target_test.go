package target_test

import (
	"errors"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/updater/target"
)

func node() target.Description {
	return target.Description{
		Schema: 1, Release: "1.4.0", Variant: target.Node, Version: "1.4.0", Arch: "amd64", From: "1.2.0",
		State: target.Range{Oldest: 2, Newest: 3}, Documents: target.Range{Oldest: 1, Newest: 2}, LeastRAM: 512,
	}
}

func client() target.Description {
	return target.Description{
		Schema: 1, Release: "1.4.0", Variant: target.Client, Version: "1.4.0~rc1", OS: "linux", Arch: "arm64", Vendor: strings.Repeat("0f", 32),
		State: target.Range{Oldest: 1, Newest: 1}, LeastRAM: 64,
	}
}

func TestRoundTrip(t *testing.T) {
	for _, d := range []target.Description{node(), client()} {
		text, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := target.Parse(text); err != nil || got != d {
			t.Errorf("%s is read as %+v, %v", text, got, err)
		}
		p, err := target.ParsePath(d.Path())
		if err != nil || d.Matches(p.Path()) != nil {
			t.Errorf("the path %s is read as %+v, %v", d.Path(), p, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, change := range map[string]func(*target.Description){
		"schema":            func(d *target.Description) { d.Schema = 0 },
		"variant":           func(d *target.Description) { d.Variant = "phone" },
		"os of a node":      func(d *target.Description) { d.OS = "linux" },
		"arch":              func(d *target.Description) { d.Arch = "../amd64" },
		"version":           func(d *target.Description) { d.Version = "1.4" + strings.Repeat(".0", 9) },
		"release":           func(d *target.Description) { d.Release = "" },
		"form of from":      func(d *target.Description) { d.From = "last" },
		"from after":        func(d *target.Description) { d.From = "1.4.0" },
		"state":             func(d *target.Description) { d.State = target.Range{Oldest: 2, Newest: 1} },
		"documents":         func(d *target.Description) { d.Documents = target.Range{} },
		"vendor":            func(d *target.Description) { d.Vendor = "1.root.json" },
		"RAM":               func(d *target.Description) { d.LeastRAM = 0 },
		"client's os":       func(d *target.Description) { d.Variant, d.Documents = target.Client, target.Range{} },
		"client's document": func(d *target.Description) { d.Variant, d.OS = target.Client, "linux" },
	} {
		d := node()
		change(&d)
		if _, err := d.Encode(); !errors.Is(err, target.ErrDescription) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{"nothing": "", "a list": "[]", "long": `{"x":"` + strings.Repeat("x", 5000) + `"}`} {
		if _, err := target.Parse([]byte(text)); !errors.Is(err, target.ErrDescription) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := target.Parse([]byte(`{"schema":2}`)); !errors.Is(err, target.ErrNewer) {
		t.Errorf("a newer schema: %v", err)
	}
	// A field that a later release adds is not an error.
	text, _ := node().Encode()
	if _, err := target.Parse([]byte(strings.Replace(string(text), "{", `{"later":{},`, 1))); err != nil {
		t.Errorf("a new field: %v", err)
	}
}

func TestPath(t *testing.T) {
	for _, p := range []string{
		"", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "..", ".", "a/", `a\b`, "a b", "a\x00b", "a%2fb", "ä",
		strings.Repeat("x", 191),
	} {
		if err := target.CheckPath(p); !errors.Is(err, target.ErrPath) {
			t.Errorf("CheckPath(%q) = %v", p, err)
		}
	}
	// The longest names that there are, and the longest that a mirror can keep.
	sum := strings.Repeat("0123456789abcdef", 4)
	for _, p := range []string{"deltas/" + sum + "-" + sum + ".bsz", strings.Repeat("x", 190)} {
		if err := target.CheckPath(p); err != nil {
			t.Errorf("CheckPath(%q) = %v", p, err)
		}
		if name := sum + "." + path.Base(p); len(name) > 255 {
			t.Errorf("%s has %d bytes in a mirror", p, len(name))
		}
	}
	for _, p := range []string{"rollout.json", "node/amd64/1.4.0/manifest.json", "node/amd64/x/leap.efi", "node/linux-amd64/1.4.0/leap.efi", "client/linux/1.4.0/leapc", "client/windows-amd64/1.4.0/leapc"} {
		if _, err := target.ParsePath(p); !errors.Is(err, target.ErrPath) {
			t.Errorf("ParsePath(%q) = %v", p, err)
		}
	}
	if _, err := target.ParsePath("client/windows-amd64/1.4.0/leapc.exe"); err != nil {
		t.Error(err)
	}
	for _, p := range []string{"client/linux-arm64/1.4.0~rc1/leapc", "node/arm64/1.4.0/leap.efi", "node/amd64/1.4.1/leap.efi"} {
		if err := node().Matches(p); !errors.Is(err, target.ErrDescription) {
			t.Errorf("%s: %v", p, err)
		}
	}
}

func TestCompare(t *testing.T) {
	order := []string{"nonsense", "0.9", "1", "1.0.0~alpha", "1.0.0~rc1", "1.0.0~rc2", "1.0.0", "1.0.0.1", "1.0.1", "1.2.0", "1.10.0", "2.0.0~rc1", "10"}
	for i, a := range order {
		for j, b := range order {
			want := max(-1, min(1, i-j))
			if got := target.Compare(a, b); got != want {
				t.Errorf("Compare(%s, %s) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestFits(t *testing.T) {
	m := target.Machine{Variant: target.Node, Arch: "amd64", Version: "1.3.0", State: 2, Document: 1, RAM: 1024}
	if err := node().Fits(m); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*target.Machine)
		want   error
	}{
		"variant":  {func(m *target.Machine) { m.Variant, m.OS = target.Client, "linux" }, target.ErrOther},
		"arch":     {func(m *target.Machine) { m.Arch = "arm64" }, target.ErrOther},
		"same":     {func(m *target.Machine) { m.Version = "1.4.0" }, target.ErrDowngrade},
		"newer":    {func(m *target.Machine) { m.Version = "2.0" }, target.ErrDowngrade},
		"too old":  {func(m *target.Machine) { m.Version = "1.1.0" }, target.ErrStep},
		"state":    {func(m *target.Machine) { m.State = 1 }, target.ErrState},
		"document": {func(m *target.Machine) { m.Document = 3 }, target.ErrState},
		"memory":   {func(m *target.Machine) { m.RAM = 256 }, target.ErrMemory},
	} {
		m := m
		test.change(&m)
		if err := node().Fits(m); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// FuzzParse expects that what is read is written and read as the same, and has a
// path that says the same.
func FuzzParse(f *testing.F) {
	for _, d := range []target.Description{node(), client()} {
		text, err := d.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		if text, err = d.Permitted(target.Permission{From: time.Unix(1e9, 0), Nodes: []string{"db1"}}); err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := target.Parse(text)
		if err != nil {
			return
		}
		again, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := target.Parse(again); err != nil || got != d {
			t.Fatalf("%s is read as %+v, then as %+v, %v", text, d, got, err)
		}
		if _, err := target.ParsePath(d.Path()); err != nil {
			t.Fatal(err)
		}
		p, err := target.ParsePermission(text)
		if err != nil || len(p.Nodes) > 512 {
			return
		}
		allowed, err := d.Permitted(p)
		if err != nil {
			return // A time that cannot be written.
		}
		if got, err := target.ParsePermission(allowed); err == nil && (!got.From.Equal(p.From) || !slices.Equal(got.Nodes, p.Nodes)) {
			t.Fatalf("%s permits %+v, then %+v", text, p, got)
		}
	})
}

// FuzzPath expects that a path which is taken stays below its directory, and one
// of a release is the one that it describes.
func FuzzPath(f *testing.F) {
	for _, p := range []string{node().Path(), client().Path(), "rollout.json", "../x", "a/../b", target.DeltaPath([32]byte{1}, [32]byte{2})} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if target.CheckPath(p) == nil && strings.Contains("/"+p+"/", "/../") {
			t.Fatalf("%q leaves its directory", p)
		}
		if d, err := target.ParsePath(p); err == nil && d.Path() != p {
			t.Fatalf("%q is read as %q", p, d.Path())
		}
		if from, to, err := target.ParseDeltaPath(p); err == nil && target.DeltaPath(from, to) != p {
			t.Fatalf("%q is read as %q", p, target.DeltaPath(from, to))
		}
	})
}
