package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// client is "client NAME DIR PATH…": go-tuf's own client, and the one of nodes and
// users, check the tree DIR and fetch the targets; with ! both must refuse. Standard
// output is why.
func client(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[1])
	own := ts.MkAbs(filepath.Join("clients", args[0], "machine"))
	ours := machine(ts, own, dir, func(ctx context.Context, c *tufclient.Client, v *tufclient.View) error {
		for _, p := range args[2:] {
			t, err := v.Lookup(ctx, p)
			if err != nil {
				return err
			}
			if err := c.Save(ctx, t, filepath.Join(own, filepath.Base(p)), 0o600); err != nil {
				return err
			}
		}
		return nil
	})
	_, theirs := tuftest.Stock(ts.MkAbs(filepath.Join("clients", args[0], "stock")), dir, day(ts.Getenv("NOW")), args[2:]...)
	fmt.Fprintf(ts.Stdout(), "go-tuf: %v\ntufclient: %v\n", theirs, ours)
	if neg != (theirs != nil) || neg != (ours != nil) {
		ts.Fatalf("go-tuf: %v\ntufclient: %v", theirs, ours)
	}
}

// newest is "newest NAME DIR RUNS PATH": a computer on which the version RUNS does
// is offered the release PATH; with ! none.
func newest(ts *testscript.TestScript, neg bool, args []string) {
	var found string
	err := machine(ts, ts.MkAbs(filepath.Join("clients", args[0], "machine")), ts.MkAbs(args[1]), func(ctx context.Context, _ *tufclient.Client, v *tufclient.View) error {
		t, err := newer(ctx, v, args[2])
		if err == nil {
			found = t.Path
		}
		return err
	})
	if neg && errors.Is(err, tufclient.ErrNothing) {
		return
	}
	if ts.Check(err); neg || found != args[3] {
		ts.Fatalf("got %s", found)
	}
}

// newer is the newest release that a computer on which a version runs can take,
// whatever the plan says.
func newer(ctx context.Context, v *tufclient.View, runs string) (*tufclient.Target, error) {
	m := target.Machine{Variant: target.Client, OS: "linux", Arch: "amd64", Version: runs, State: 1}
	all, err := v.All(ctx)
	if err != nil {
		return nil, err
	}
	var newest *tufclient.Target
	for _, t := range all {
		d := t.Description
		if d == nil || target.Compare(d.Version, runs) <= 0 || d.Fits(m) != nil {
			continue
		}
		if newest == nil || target.Compare(d.Version, newest.Description.Version) > 0 {
			newest = t
		}
	}
	if newest == nil {
		return nil, tufclient.ErrNothing
	}
	return newest, nil
}

// machine has the client of nodes and users check a tree that a server on loopback
// has, and goes on with what it found. The client was built with the first root
// that it saw.
func machine(ts *testscript.TestScript, own, dir string, then func(context.Context, *tufclient.Client, *tufclient.View) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	source, err := tufclient.NewHTTP(server.URL, nil)
	if err != nil {
		return err
	}
	defer source.Close()
	root, err := builtRoot(own, dir)
	if err != nil {
		return err
	}
	c, err := tufclient.Open(tufclient.Config{
		Repositories: []tufclient.Repository{{Name: "vendor", Root: root, Sources: []tufclient.Source{source}}},
		Dir:          filepath.Join(own, "trusted"),
		Clock:        func() time.Time { return day(ts.Getenv("NOW")) },
	})
	if err != nil {
		return err
	}
	v, err := c.Check(ctx)
	if err != nil {
		return err
	}
	return then(ctx, c, v)
}

// builtRoot is the root that a client was built with.
func builtRoot(own, dir string) ([]byte, error) {
	kept := filepath.Join(own, "built.root.json")
	root, err := os.ReadFile(kept)
	if !errors.Is(err, fs.ErrNotExist) {
		return root, err
	}
	if root, err = os.ReadFile(filepath.Join(dir, "metadata", "1.root.json")); err != nil {
		return nil, err
	}
	return root, errors.Join(os.MkdirAll(own, 0o700), os.WriteFile(kept, root, 0o600))
}
