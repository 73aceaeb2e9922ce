package release

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"leap.example/appliance/durable"
	"leap.example/image/uki"
	"leap.example/updater/target"
	"leap.example/updater/tufrepo"
)

// What is beside a release in its directory of a tree.
const (
	manifest  = "manifest.json" // Its [target.Description]: what signers put into the metadata.
	materials = "sbom.json"     // CycloneDX.
)

// What the programs of a release read of what earlier ones have stored. A release
// that stores what the one before does not read raises the newest; the one after it
// may raise the oldest, so that one step back stays possible.
var (
	nodeState   = target.Range{Oldest: 1, Newest: 1}
	clientState = target.Range{Oldest: 1, Newest: 1}
)

// clientRAM is what a computer must have for the client, MiB.
const clientRAM = 64

// Making says what a tree is made of.
type Making struct {
	// Node is how the image of nodes is made; its Release names version and time.
	Node uki.Options
	// Clients are the platforms for which the client is built, or has been.
	Clients []Client
	// Sources are where clients find the repository of releases whose root is
	// Node.Vendor. None: clients are built without a vendor, and update nothing.
	Sources []string
	// Told is told what is built next. May be nil.
	Told func(what string)
}

// A Client is the program of users on a platform.
type Client struct {
	uki.Platform
	Program string // A file that is built already; empty: it is built of Node.Source.
}

// Tree makes a release as it is published: the image of nodes and the clients, each
// with a manifest and a bill of materials, in files at the paths of the targets that
// signers make of them. It returns these paths. Other versions in dir stay. The same
// source gives the same files in every directory.
func Tree(ctx context.Context, dir string, m Making) (paths []string, err error) {
	r := m.Node.Release
	if (len(m.Sources) > 0) != (len(m.Node.Vendor) > 0) {
		return nil, errors.New("who vouches for updates is a root and where its repository is: one is given without the other")
	}
	told := func(what string) {
		if m.Told != nil {
			m.Told(what)
		}
	}
	about := target.Description{Schema: target.Schema, Release: r.Version, Version: r.Version}
	if len(m.Node.Vendor) > 0 {
		if about.Vendor, err = tufrepo.RootDigest(m.Node.Vendor); err != nil {
			return nil, fmt.Errorf("the root of the vendor: %w", err)
		}
	}
	put := func(d target.Description, program, bill []byte) error {
		more, err := put(dir, d, program, bill)
		paths = append(paths, more...)
		return err
	}
	for _, c := range m.Clients {
		told("the client for " + c.OS + " " + c.Arch)
		program, err := c.build(ctx, m)
		if err != nil {
			return paths, err
		}
		bill, err := uki.Bill("leapc", r.Version, program)
		if err != nil {
			return paths, err
		}
		d := about
		d.Variant, d.OS, d.Arch, d.State, d.LeastRAM = target.Client, c.OS, c.Arch, clientState, clientRAM
		if err := put(d, program, bill); err != nil {
			return paths, err
		}
	}
	told("the image of nodes")
	b, err := uki.Make(ctx, m.Node)
	if err != nil {
		return paths, err
	}
	d := about
	d.Variant, d.Arch, d.State, d.LeastRAM = target.Node, "amd64", nodeState, r.LeastRAM
	d.Documents = target.Range{Oldest: r.OldestSchema, Newest: r.NewestSchema}
	return paths, put(d, b.UKI, b.SBOM)
}

// put writes one release, the program last.
func put(dir string, d target.Description, program, bill []byte) (paths []string, err error) {
	about, err := d.Encode()
	if err != nil {
		return nil, err
	}
	path := d.Path()
	for _, f := range []struct {
		path string
		data []byte
	}{
		{filepath.Join(filepath.Dir(path), manifest), append(about, '\n')},
		{filepath.Join(filepath.Dir(path), materials), bill},
		{path, program},
	} {
		file := filepath.Join(dir, f.path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return paths, err
		}
		if err := durable.WriteFile(file, f.data, 0o644); err != nil {
			return paths, err
		}
		paths = append(paths, f.path)
	}
	return paths, nil
}

// vendorFile is what clients are built with: who vouches for updates of them.
const vendorFile = "client/cmd/leapc/vendor.json"

// build returns the client, built or read.
func (c Client) build(ctx context.Context, m Making) ([]byte, error) {
	vendor, err := m.vendor()
	if err != nil {
		return nil, err
	}
	path := c.Program
	if path == "" {
		dir, err := os.MkdirTemp("", "leapc-*")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		path = filepath.Join(dir, "leapc")
		p := uki.Program{Platform: c.Platform, Module: m.Node.Source, Main: "./client/cmd/leapc", Stamps: map[string]string{
			"main.version": m.Node.Release.Version, "main.built": m.Node.Release.Built.UTC().Format(time.RFC3339),
		}}
		if len(vendor) > 0 {
			p.Files = map[string][]byte{vendorFile: vendor}
		}
		if err := p.Compile(ctx, path); err != nil {
			return nil, err
		}
	}
	program, err := os.ReadFile(path)
	if err == nil && !bytes.Contains(program, vendor) { // One that was built before.
		err = fmt.Errorf("%s is not built with this vendor's root and sources: have it built anew", path)
	}
	return program, err
}

// vendor is what clients are built with; empty: no vendor.
func (m Making) vendor() ([]byte, error) {
	if len(m.Sources) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(struct {
		Schema  int             `json:"schema"`
		Root    json.RawMessage `json:"root"`
		Sources []string        `json:"sources"`
	}{1, m.Node.Vendor, m.Sources})
	if err != nil {
		return nil, fmt.Errorf("the vendor of clients: %w", err)
	}
	return text, nil
}
