package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leap.example/appliance/node"
	"leap.example/image/deploy"
	"leap.example/image/director"
	"leap.example/image/provider"
	"leap.example/updater/target"
	"leap.example/updater/tufrepo"
)

func (a *app) bundleCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "bundle", Short: "Carry releases to nodes without network",
		Long: `A bundle is one file, a tar, with releases and everything that vouches for them. It is
made where there is network, carried, and given to nodes where there is none: they
verify it as they verify any source, and take from it what the director allows, when
their turn has come. Whoever carries it can do nothing but lose it.`,
	}, a.bundleExport(), a.bundleImport())
}

func (a *app) bundleExport() *cobra.Command {
	var c copying
	var clients bool
	cmd := &cobra.Command{
		Use: "export FILE [VERSION]", Short: "Make a bundle of a release", Args: args(cobra.RangeArgs(1, 2)),
		Long: `Make a bundle of a release of nodes: VERSION, or the newest that the director allows.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			version, err := a.bundled(args[1:])
			if err != nil {
				return err
			}
			want := func(d target.Description) bool { return d.Version == version }
			c.nodes = !clients
			all, err := a.copies(cmd.Context(), i, filepath.Join(director.WorkDir(i), "bundle"), director.WorkDir(i), c, want)
			if err != nil {
				return err
			}
			if len(all[0].Copied.Releases) == 0 {
				return fmt.Errorf("the vendor has signed no release %s for nodes", version)
			}
			size, err := a.writeBundle(cmd.Context(), args[0], all)
			if err != nil {
				return err
			}
			return a.print(map[string]any{"file": args[0], "version": version, "bytes": size, "copies": all}, func() {
				a.sayf("%s has release %s, %d MB, good until %s; next, where the nodes are: leap update bundle import %s", args[0], version, size/1e6, day(expires(all)), args[0])
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&clients, "clients", false, "with the clients of that version")
	return cmd
}

// bundled is the version that a bundle is of.
func (a *app) bundled(words []string) (string, error) {
	if len(words) > 0 {
		return words[0], target.CheckVersion(words[0])
	}
	_, d, err := a.seeDirector()
	if err != nil {
		return "", err
	}
	list, err := d.Allowed()
	if err == nil && len(list) == 0 {
		err = errors.New("the director allows no release: leap update allow VERSION, or name one")
	}
	if err != nil {
		return "", err
	}
	return list[0].Version, nil
}

// expires is when the first of the copies ends.
func expires(all []aCopy) time.Time {
	return slices.MinFunc(all, func(a, b aCopy) int { return a.Copied.Expires.Compare(b.Copied.Expires) }).Copied.Expires
}

// writeBundle writes the file as a whole.
func (a *app) writeBundle(ctx context.Context, file string, all []aCopy) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".bundle-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name()) // After the rename there is nothing to remove.
	var trees []tufrepo.BundleTree
	for _, one := range all {
		trees = append(trees, tufrepo.BundleTree{Name: one.Name, Dir: one.dir, Files: one.Copied.Files})
	}
	err = tufrepo.WriteBundle(ctx, f, trees, nil)
	info, err2 := f.Stat()
	if err = errors.Join(err, err2, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return 0, err
	}
	return info.Size(), os.Rename(f.Name(), file)
}

func (a *app) bundleImport() *cobra.Command {
	var at reach
	cmd := &cobra.Command{
		Use: "import FILE [FILTER]", Short: "Give a bundle to nodes", Args: args(cobra.MinimumNArgs(1)),
		Long: `Verify a bundle as the nodes will, and give it to those that keep copies
(updates.mirror); they serve it to the others. Their agents verify it again, and take
from it what the director allows, when their turn has come.`,
		RunE: func(cmd *cobra.Command, words []string) error {
			i, nodes, clients, err := a.reachNodes(cmd.Context(), words[1:], at)
			if err != nil {
				return err
			}
			if err := a.verifyBundle(cmd.Context(), i, words[0]); err != nil {
				return err
			}
			return a.inTurn(nodes, func(k int) error {
				return a.sendBundle(cmd.Context(), clients[k], nodes[k].Name, words[0])
			})
		},
	}
	at.flags(cmd)
	return cmd
}

// verifyBundle verifies a bundle as a node does that trusts what the instance names.
func (a *app) verifyBundle(ctx context.Context, i *provider.Instance, file string) error {
	v, err := director.ReadVendor(i)
	if err != nil {
		return err
	}
	dir, done, err := unbundle(ctx, file)
	if err != nil {
		return err
	}
	defer done()
	state := filepath.Join(dir, ".state")
	if isDir(filepath.Join(dir, "vendor")) {
		m, closed, err := v.Mirror(filepath.Join(dir, "vendor"), filepath.Join(dir, ".copy"), state, a.now)
		defer closed()
		if err != nil {
			return err
		}
		m.Partial = true
		if _, err := m.Sync(ctx); err != nil {
			return fmt.Errorf("%s: the vendor's repository: %w", file, err)
		}
	}
	if isDir(filepath.Join(dir, "director")) {
		if _, err := director.Mirror(i.Files[director.RootFile], filepath.Join(dir, "director"), filepath.Join(dir, ".copy"), state, a.now).Sync(ctx); err != nil {
			return fmt.Errorf("%s: the director: %w", file, err)
		}
	}
	return nil
}

// sendBundle gives a bundle to a node, and tells what the node makes of it.
func (a *app) sendBundle(ctx context.Context, c *deploy.Client, name, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() // Only read.
	info, err := f.Stat()
	if err != nil {
		return err
	}
	copies, err := c.Mirror(ctx, f, info.Size())
	if err != nil {
		return err
	}
	for _, one := range copies {
		fmt.Fprintf(a.errs, "%s: %s\n", name, tellCopy(one))
	}
	return nil
}

// tellCopy is what a node has of a repository, for people.
func tellCopy(c node.Copy) string {
	text := c.Name + ": good until " + day(c.Expires)
	if len(c.Releases) > 0 {
		text += ", releases " + strings.Join(c.Releases, ", ")
	}
	if c.Error != "" {
		text += "; " + c.Error
	}
	return text
}
