package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"leap.example/image/release"
	"leap.example/image/uki"
)

// clients are the platforms for which a client is released.
var clients = []string{"linux-amd64", "linux-arm64"}

func (a *app) imageTree() *cobra.Command {
	var b building
	var platforms, programs, sources []string
	var developer bool
	cmd := &cobra.Command{
		Use: "tree DIR", Short: "Build a release as vendors publish it: image and clients", Args: args(cobra.ExactArgs(1)),
		Long: `Build a release as vendors publish it: the image of nodes and the clients, each with
a manifest.json, which describes it, and an sbom.json, in files at the paths of the
targets that signers make of them:

  node/amd64/1.4.0/leap.efi
  client/linux-amd64/1.4.0/leapc

What was built into DIR before stays. The same source gives the same files, wherever
and whenever: each signer builds it, and "leap-sign compare EVENT DIR" holds it
against what he is to sign. The options are those of "leap image build".

With --vendor-root goes --vendor-source, where clients look for what is new: by that
root, and no other, nodes and clients take the releases after this one. The source is a
commit, without changes, or others could not build it. A trial needs neither, with
--developer: its nodes take the bytes of the next release from whoever gives them, its
clients update nothing, and nobody should sign it.`,
		Example: `  leap image tree build --release 1.4.0 --vendor-root 1.root.json --vendor-source https://vendor.example/leap/
  leap-sign event new 1.4.0 --tree build`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if b.vendor == "" && !developer {
				return errNoVendor
			}
			paths, err := a.tree(cmd.Context(), args[0], b, platforms, programs, sources, developer)
			if err != nil {
				return err
			}
			return a.print(map[string]any{"dir": args[0], "files": paths}, func() {
				for _, p := range paths {
					a.sayf("%s", filepath.Join(args[0], p))
				}
			})
		},
	}
	f := cmd.Flags()
	b.flags(f)
	f.StringSliceVar(&platforms, "client", clients, "`platforms` of clients, OS-ARCH")
	f.StringArrayVar(&sources, "vendor-source", nil, "`URL` of the repository of releases, or of a mirror; may be repeated")
	f.BoolVar(&developer, "developer", false, "a trial: without a vendor's root, or of a source with changes")
	f.StringArrayVar(&programs, "client-program", nil, "`OS-ARCH=FILE`: a client that is built already; may be repeated")
	return cmd
}

var errNoVendor = errors.New(`by whose signatures shall nodes and clients take the next release? --vendor-root FILE with --vendor-source URL;
the file is public/metadata/1.root.json of the repository of releases, which "leap-sign init" and "publish init" make
(docs/release.md, 2). For a trial that nobody signs: --developer`)

// committed checks that the source is a commit without changes. What is in dir does
// not count.
func committed(ctx context.Context, source, dir string) error {
	out, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	line := []string{"status", "--porcelain", "--", "."}
	if rel, err := filepath.Rel(source, out); err == nil && rel != "." && filepath.IsLocal(rel) {
		line = append(line, ":(exclude,literal)"+filepath.ToSlash(rel))
	}
	changed, err := git(ctx, source, line...)
	if err != nil {
		return fmt.Errorf("git does not say whether the source in %s is a commit: build in a checkout, or a trial with --developer: %w", source, err)
	}
	if changed != "" {
		return fmt.Errorf("the source in %s is not its last commit, so nobody else could build this release; commit or remove, or build a trial with --developer:\n%s", source, changed)
	}
	return nil
}

// tree builds a release.
func (a *app) tree(ctx context.Context, dir string, b building, platforms, programs, sources []string, developer bool) ([]string, error) {
	built := map[string]string{}
	for _, p := range programs {
		name, file, ok := strings.Cut(p, "=")
		if !ok {
			return nil, fmt.Errorf("--client-program %s: OS-ARCH=FILE is required", p)
		}
		built[name] = file
	}
	needed := b.program == "" || b.kernel == ""
	var list []release.Client
	for _, p := range platforms {
		system, arch, ok := strings.Cut(p, "-")
		if !ok {
			return nil, fmt.Errorf("--client %s: OS-ARCH is required, like linux-amd64", p)
		}
		list = append(list, release.Client{Platform: uki.Platform{OS: system, Arch: arch}, Program: built[p]})
		needed = needed || built[p] == ""
		delete(built, p)
	}
	for name := range built {
		return nil, fmt.Errorf("--client-program %s: it is not among --client", name)
	}
	o, err := a.options(ctx, b, needed)
	if err != nil {
		return nil, err
	}
	if needed && !developer {
		if err := committed(ctx, o.Source, dir); err != nil {
			return nil, err
		}
	}
	return release.Tree(ctx, dir, release.Making{Node: o, Clients: list, Sources: sources, Told: func(what string) {
		fmt.Fprintf(a.errs, "release %s: building %s\n", o.Release.Version, what)
	}})
}
