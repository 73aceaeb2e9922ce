package main

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"leap.example/appliance/efi/efitest"
	"leap.example/appliance/node"
	"leap.example/updater/tufclient"
	"leap.example/updater/tufrepo"
	"leap.example/updater/tuftest"
)

type vendorKey struct{}

// A vendor signs releases, on loopback.
type vendor struct {
	repo   *tuftest.Repo
	served *tuftest.Mirror
	dir    string
}

// signs has the vendor sign releases of nodes, and keeps them as files.
func (v *vendor) signs(ts *testscript.TestScript, versions []string) {
	for _, version := range versions {
		content := efitest.UKI(version, "kernel", "initrd")
		v.repo.AddNode(version, content)
		ts.Check(os.WriteFile(filepath.Join(v.dir, "leap_"+version+".efi"), content, 0o600))
	}
	v.repo.Next("release")
	v.repo.Publish()
	v.served.Files = v.repo.Mirror().Files
}

// vendors begins a vendor in a directory, "vendor DIR VERSION...", or has it sign
// more: "vendor VERSION...". Its URL is $VENDOR.
func vendors(t *testing.T) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if v, ok := ts.Value(vendorKey{}).(**vendor); ok && *v != nil {
			(*v).signs(ts, args)
			return
		}
		v := &vendor{tuftest.New(t, time.Now()), &tuftest.Mirror{Name: "vendor"}, ts.MkAbs(args[0])}
		ts.Check(os.MkdirAll(v.dir, 0o700))
		ts.Check(os.WriteFile(filepath.Join(v.dir, "root.json"), v.repo.RootFile(1), 0o600))
		v.signs(ts, args[1:])
		s := httptest.NewServer(v.served)
		ts.Defer(s.Close)
		ts.Setenv("VENDOR", s.URL+"/repo/")
		*ts.Value(vendorKey{}).(**vendor) = v
	}
}

// copies is how a node of an instance takes bundles: as a real one does, but for
// where it keeps them.
func copies(ts *testscript.TestScript, instance, name string) func(io.Reader) ([]node.Copy, error) {
	dir := filepath.Join(ts.MkAbs("copies"), name)
	return func(bundle io.Reader) (list []node.Copy, err error) {
		incoming, err := os.MkdirTemp("", "incoming-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(incoming)
		trees, err := tufrepo.ReadBundle(context.Background(), bundle, incoming, tufrepo.DefaultBundle)
		if err != nil {
			return nil, err
		}
		for _, tree := range []string{"director", "vendor"} {
			if !slices.Contains(trees, tree) {
				continue
			}
			pin, err := tufrepo.Listed(filepath.Join(dir, "director"))
			if err != nil {
				return nil, err
			}
			root, err := os.ReadFile(filepath.Join(instance, "files", "updates", tree+".json"))
			if err != nil {
				return nil, err
			}
			m := tufrepo.Mirror{
				Repository: tufclient.Repository{Name: tree, Root: root, Sources: []tufclient.Source{tufclient.Dir(filepath.Join(incoming, tree))}},
				Dir:        filepath.Join(dir, tree), State: filepath.Join(dir, ".state"), Bare: tree == "director", Keep: 2, Pin: pin, Partial: true,
			}
			c, err := m.Sync(context.Background())
			if err != nil {
				return nil, fmt.Errorf("repository %s: %w", tree, err)
			}
			one := node.Copy{Name: tree, Expires: c.Expires}
			for _, d := range c.Releases {
				one.Releases = append(one.Releases, d.Version)
			}
			list = append(list, one)
		}
		return list, nil
	}
}

// TestDirectorLater goes through the life of a director: the daily job, roles that
// end, and one that nobody has looked after.
func TestDirectorLater(t *testing.T) {
	dir := t.TempDir()
	demo, begin := filepath.Join(dir, "demo"), time.Now()
	repo := tuftest.New(t, begin)
	root := filepath.Join(dir, "root.json")
	if err := os.WriteFile(root, repo.RootFile(1), 0o600); err != nil {
		t.Fatal(err)
	}
	leap := func(days, want int, line string) string {
		t.Helper()
		var out, errs strings.Builder
		a := &app{in: os.Stdin, out: &out, errs: &errs, keys: filepath.Join(dir, "keys"), now: func() time.Time { return begin.AddDate(0, 0, days) }}
		if status := a.execute(t.Context(), append([]string{"-C", demo}, strings.Fields(line)...)); status != want {
			t.Fatalf("day %d: leap %s: status %d: %s%s", days, line, status, out.String(), errs.String())
		}
		return out.String() + errs.String()
	}
	leap(0, 0, "new "+demo+" --domain demo.example --operator alice --yes")
	leap(0, 0, "update director init --vendor https://updates.vendor.example/ --vendor-root "+root)
	leap(0, 0, "update director status")
	for _, tt := range []struct {
		days, status int
		line, want   string
	}{
		{3, exitWarnings, "update director status", "timestamp ends on"},
		{3, 0, "update director timestamp", "good until"},
		{9, exitWarnings, "update status --offline", "leap update director timestamp, every day"},
		{11, exitWarnings, "update director status", "timestamp has ended, and no node updates itself"},
		{11, 0, "update director timestamp", "good until"},
		{160, exitWarnings, "update director timestamp", "allow ends on"},
		{160, 0, "update director renew", "renew: public (renew allow)"},
		{160, 0, "update director renew", "nothing ends soon"},
		{310, exitWarnings, "update director timestamp", "root ends on"},
		{310, 0, "update director renew", "renew-2: public"},
		{310, 0, "update director status", "root"},
	} {
		if said := leap(tt.days, tt.status, tt.line); !strings.Contains(said, tt.want) {
			t.Errorf("day %d: leap %s: %q is missing in %s", tt.days, tt.line, tt.want, said)
		}
	}
}
