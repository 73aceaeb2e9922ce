package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leap.example/image/director"
	"leap.example/image/provider"
	"leap.example/updater/target"
	"leap.example/updater/tufrepo"
)

func (a *app) pushCommand() *cobra.Command {
	return &cobra.Command{
		Use: "push", Short: "Give what the director says to the nodes that keep copies", Args: args(cobra.NoArgs),
		Long: `Give what the director says to the nodes that keep copies (updates.mirror), which
serve it to the others. "allow", "hold", "director sign" and "director timestamp --push"
do it by themselves. Nodes that fetch it elsewhere want updates/director/public there,
timestamp.json last. The exit status is 2 if a node was not reached.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.pushed(cmd.Context()) },
	}
}

// pushed gives the director's metadata to the nodes that keep copies. Of those that
// are not reached it warns by name, and the command ends with [exitWarnings]: nodes that
// ask nobody else go on with what was said before.
func (a *app) pushed(ctx context.Context) error {
	i, d, err := a.seeDirector()
	if err != nil {
		return err
	}
	var mirrors []*provider.Node
	var missed []string
	for _, n := range i.Nodes {
		switch {
		case !n.IsEnabled() || n.Updates.Mirror == nil:
		case a.env == "" || n.Environment == a.env:
			mirrors = append(mirrors, n)
		default:
			missed = append(missed, n.Name+" (another environment)")
		}
	}
	if len(mirrors)+len(missed) == 0 {
		a.status = exitWarnings
		a.warnf("no node keeps a copy (updates.mirror), so nobody has been told: bring %s to where updates.director.sources says, timestamp.json last: docs/operator.md, \"A web server\", has the commands", d.Public())
		return nil
	}
	bundle, err := a.directorBundle(ctx, i, d)
	if err != nil {
		return err
	}
	clients, err := a.clients(ctx, i, mirrors, reach{})
	if err != nil {
		return err
	}
	for k, n := range mirrors {
		if _, err := clients[k].Mirror(ctx, bytes.NewReader(bundle), int64(len(bundle))); err != nil {
			missed = append(missed, n.Name)
			a.warnf("%s: %v", n.Name, err)
			continue
		}
		fmt.Fprintf(a.errs, "%s: has what the director says\n", n.Name)
	}
	if len(missed) > 0 {
		a.status = exitWarnings
		a.warnf("NOT REACHED: %s. Nodes that ask nobody else go on with what the director said before, a release that is held now among it, until they are reached, or for a week at most; next: leap update push", strings.Join(missed, ", "))
	}
	return nil
}

// directorBundle is what the director says, of some ten kilobytes, as nodes verify it.
func (a *app) directorBundle(ctx context.Context, i *provider.Instance, d *director.Director) ([]byte, error) {
	root, err := d.Root()
	if err != nil {
		return nil, err
	}
	dir := director.WorkDir(i)
	m := director.Mirror(root, d.Public(), dir, dir, a.now)
	c, err := m.Sync(ctx)
	if err != nil {
		return nil, fmt.Errorf("what the director says is not what nodes would take: %w", err)
	}
	var bundle bytes.Buffer
	err = tufrepo.WriteBundle(ctx, &bundle, []tufrepo.BundleTree{{Name: "director", Dir: m.Dir, Files: c.Files}}, nil)
	return bundle.Bytes(), err
}

// copying is how a copy is made.
type copying struct {
	source string
	keep   int
	nodes  bool
}

func (c *copying) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.source, "source", "", "`directory` or bundle with the vendor's repository (default: his URLs)")
}

func (a *app) mirrorCommand() *cobra.Command {
	var c copying
	cmd := &cobra.Command{
		Use: "mirror DIR", Short: "Copy the vendor's repository, and the director, to be served", Args: args(cobra.ExactArgs(1)),
		Long: `Copy the vendor's repository into DIR/vendor, and what the director says, if there is
one, into DIR/director: plain files for any web server, which nodes and clients take as
a source, like https://HOST/vendor/. Everything is verified; what is old stays until the
next run, so that nobody who is reading is disturbed. Run it as often as you like: what
is there is not fetched again. The server is not trusted by anybody.`,
		Example: "  leap update mirror /srv/www/updates --keep 3",
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			all, err := a.copies(cmd.Context(), i, args[0], filepath.Join(args[0], ".state"), c, nil)
			if err != nil {
				return err
			}
			return a.print(all, func() {
				for _, one := range all {
					if n := len(one.Copied.Absent); n > 0 {
						a.warnf("%s: %d files that belong to it are not in %s", one.Name, n, c.source)
					}
					a.sayf("%s: %d releases, %d MB, good until %s", one.Name, len(one.Copied.Releases), one.Copied.Bytes/1e6, one.Copied.Expires.UTC().Format(time.DateTime))
				}
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().IntVar(&c.keep, "keep", 3, "`number` of releases of each program; 0: all")
	cmd.Flags().BoolVar(&c.nodes, "nodes", false, "releases of nodes only, none of clients")
	return cmd
}

// An aCopy is a copy of one repository.
type aCopy struct {
	Name   string          `json:"name"`
	Copied *tufrepo.Copied `json:"copied"`

	dir string
}

// copies brings the copies in a directory up to date: of the director, if there is
// one, and of the vendor, whose releases that the director allows are all kept. Of the
// vendor's releases those are copied that want wants; nil: all.
func (a *app) copies(ctx context.Context, i *provider.Instance, dir, state string, c copying, want func(target.Description) bool) ([]aCopy, error) {
	v, err := director.ReadVendor(i)
	if err != nil {
		return nil, err
	}
	from, done, err := unpacked(ctx, c.source)
	if err != nil {
		return nil, err
	}
	defer done()
	m, closed, err := v.Mirror(from, dir, state, a.now)
	defer closed()
	if err != nil {
		return nil, err
	}
	all, err := a.copyDirector(ctx, dir, state)
	if err != nil {
		return nil, fmt.Errorf("the director: %w", err)
	}
	if m.Pin, err = tufrepo.Listed(filepath.Join(dir, "director")); err != nil {
		return nil, err
	}
	bar := a.bar(ctx, "copying")
	defer bar.end()
	m.Keep, m.Partial, m.Progress = c.keep, c.source != "", func(_ string, done, total int64) { bar.at(done, total) }
	m.Want = func(d target.Description) bool {
		return (want == nil || want(d)) && (!c.nodes || d.Variant == target.Node)
	}
	copied, err := m.Sync(ctx)
	bar.end()
	if err != nil {
		return nil, fmt.Errorf("the vendor's repository: %w", err)
	}
	return append([]aCopy{{"vendor", copied, m.Dir}}, all...), nil
}

// copyDirector copies what the director says, if there is one.
func (a *app) copyDirector(ctx context.Context, dir, state string) ([]aCopy, error) {
	_, d, err := a.seeDirector()
	if errors.Is(err, director.ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	root, err := d.Root()
	if err != nil || root == nil {
		return nil, err
	}
	m := director.Mirror(root, d.Public(), dir, state, a.now)
	copied, err := m.Sync(ctx)
	if err != nil {
		return nil, err
	}
	return []aCopy{{"director", copied, m.Dir}}, nil
}

// within is the vendor's tree in a directory, which may also be that itself.
func within(dir string) string {
	if inner := filepath.Join(dir, "vendor"); isDir(inner) {
		return inner
	}
	return dir
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// unbundle unpacks a bundle into a directory that done removes.
func unbundle(ctx context.Context, file string) (dir string, done func(), err error) {
	done = func() {}
	f, err := os.Open(file)
	if err != nil {
		return "", done, err
	}
	defer f.Close() // Only read.
	if dir, err = os.MkdirTemp("", "leap-bundle-"); err != nil {
		return "", done, err
	}
	done = func() { _ = os.RemoveAll(dir) } // In the directory for such files.
	_, err = tufrepo.ReadBundle(ctx, f, dir, tufrepo.DefaultBundle)
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return dir, done, err
}
