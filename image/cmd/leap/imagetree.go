package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"leap.example/image/release"
	"leap.example/image/uki"
)

// clients are the platforms for which a client is released.
const clients = "linux-amd64,linux-arm64"

func (a *app) imageTree() *cobra.Command {
	var b building
	var platforms, programs, sources []string
	cmd := &cobra.Command{
		Use: "tree DIR", Short: "Build a release as vendors publish it: image and clients", Args: args(cobra.ExactArgs(1)),
		Long: `Build a release as vendors publish it: the image of nodes and the clients, each with
a manifest.json, which describes it, and an sbom.json, in files at the paths of the
targets that signers make of them:

  node/amd64/1.4.0/leap.efi
  client/linux-amd64/1.4.0/leapc

What was built into DIR before stays. The same source gives the same files, wherever
and whenever: each signer builds it, and "leap-sign compare EVENT DIR" holds it
against what he is to sign. The options are those of "leap image build"; with
--vendor-root goes --vendor-source, where clients look for what is new.`,
		Example: `  leap image tree build --release 1.4.0 --vendor-root 1.root.json --vendor-source https://vendor.example/leap/
  leap-sign event new 1.4.0 --tree build`,
		RunE: func(cmd *cobra.Command, args []string) error {
			paths, err := a.tree(cmd.Context(), args[0], b, platforms, programs, sources)
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
	f.StringSliceVar(&platforms, "client", strings.Split(clients, ","), "`platforms` of clients, OS-ARCH")
	f.StringArrayVar(&sources, "vendor-source", nil, "`URL` of the repository of releases, or of a mirror; may be repeated")
	f.StringArrayVar(&programs, "client-program", nil, "`OS-ARCH=FILE`: a client that is built already; may be repeated")
	return cmd
}

// tree builds a release.
func (a *app) tree(ctx context.Context, dir string, b building, platforms, programs, sources []string) ([]string, error) {
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
	return release.Tree(ctx, dir, release.Making{Node: o, Clients: list, Sources: sources, Told: func(what string) {
		fmt.Fprintf(a.errs, "release %s: building %s\n", o.Release.Version, what)
	}})
}
