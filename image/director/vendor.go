package director

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"leap.example/image/provider"
	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tufrepo"
)

// A Vendor is who signs releases, as operators reach him.
type Vendor struct {
	Sources []string `json:"sources"` // URLs of trees.
	Root    []byte   `json:"-"`
}

const vendorFile = "updates/vendor.json"

// ErrNoVendor is that the instance does not say who signs releases.
var ErrNoVendor = errors.New("the provider does not say whose releases it takes: leap update director init --vendor URL --vendor-root FILE")

// SetVendor keeps who signs releases.
func SetVendor(i *provider.Instance, v Vendor) error {
	if _, _, err := tufclient.OpenHTTP(v.Sources, nil); err != nil {
		return err
	}
	probe := tufclient.Config{Dir: filepath.Join(i.Dir, "none"), Repositories: []tufclient.Repository{{Name: "vendor", Root: v.Root, Sources: []tufclient.Source{tufclient.Dir("none")}}}}
	if _, err := tufclient.Open(probe); err != nil { // It writes nothing.
		return fmt.Errorf("the root of the vendor: %w", err)
	}
	if err := provider.Write(i.Dir, "files/"+VendorRootFile, v.Root, 0o644); err != nil {
		return err
	}
	return provider.WriteJSON(i.Dir, vendorFile, v)
}

// ReadVendor reads who signs releases.
func ReadVendor(i *provider.Instance) (v Vendor, err error) {
	text, err := os.ReadFile(filepath.Join(i.Dir, filepath.FromSlash(vendorFile)))
	if errors.Is(err, fs.ErrNotExist) {
		return v, ErrNoVendor
	}
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		return v, fmt.Errorf("%s: %w", vendorFile, err)
	}
	if v.Root = i.Files[VendorRootFile]; len(v.Root) == 0 {
		return v, fmt.Errorf("files/%s is missing: %w", VendorRootFile, ErrNoVendor)
	}
	return v, nil
}

// WorkDir is where an operator's machine keeps copies, and what it trusts.
func WorkDir(i *provider.Instance) string { return filepath.Join(i.Dir, ".leap", "updates") }

// sources are those at its URLs, or, if from is not empty, that directory. The caller
// calls done in the end.
func (v Vendor) sources(from string) (list []tufclient.Source, done func(), err error) {
	if from != "" {
		return []tufclient.Source{tufclient.Dir(from)}, func() {}, nil
	}
	list, done, err = tufclient.OpenHTTP(v.Sources, nil)
	if err == nil && len(list) == 0 {
		err = errors.New("updates/vendor.json has no source: name a directory or a bundle with --source")
	}
	return list, done, err
}

// Releases are the releases of nodes that the vendor lists now, the newest last. It
// is asked at its URLs, or, if from is not empty, in the directory of a copy.
func (v Vendor) Releases(ctx context.Context, i *provider.Instance, from string, now func() time.Time) ([]*tufclient.Target, error) {
	sources, done, err := v.sources(from)
	defer done()
	if err != nil {
		return nil, err
	}
	c, err := tufclient.Open(tufclient.Config{
		Repositories: []tufclient.Repository{{Name: "vendor", Root: v.Root, Sources: sources}}, Dir: WorkDir(i), Clock: now,
	})
	if err != nil {
		return nil, err
	}
	view, err := c.Check(ctx)
	if err != nil {
		return nil, err
	}
	all, err := view.All(ctx)
	if err != nil {
		return nil, err
	}
	return nodes(all), nil
}

// Mirror is a copy of the vendor's repository.
func (v Vendor) Mirror(from, dir, state string, now func() time.Time) (m tufrepo.Mirror, done func(), err error) {
	sources, done, err := v.sources(from)
	return tufrepo.Mirror{Repository: tufclient.Repository{Name: "vendor", Root: v.Root, Sources: sources}, Dir: filepath.Join(dir, "vendor"), State: state, Clock: now}, done, err
}

// Mirror is a copy of a director's tree.
func Mirror(root []byte, from, dir, state string, now func() time.Time) tufrepo.Mirror {
	return tufrepo.Mirror{
		Repository: tufclient.Repository{Name: "director", Root: root, Sources: []tufclient.Source{tufclient.Dir(from)}},
		Dir:        filepath.Join(dir, "director"), State: state, Bare: true, Clock: now,
	}
}

// nodes are the releases of nodes among targets, the newest last.
func nodes(all []*tufclient.Target) (list []*tufclient.Target) {
	for _, t := range all {
		if d, err := target.ParsePath(t.Path); err == nil && d.Variant == target.Node {
			list = append(list, t)
		}
	}
	sortReleases(list)
	return list
}

func sortReleases(list []*tufclient.Target) {
	slices.SortStableFunc(list, func(a, b *tufclient.Target) int { return target.Compare(a.Description.Version, b.Description.Version) })
}
