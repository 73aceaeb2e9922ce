package tufclient_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// TestRoleNames expects roles of any name to be fetched and kept, each as itself.
func TestRoleNames(t *testing.T) {
	for _, name := range []string{"a/b", "../../etc/passwd", "..", ".", "with space", "späße", "a%2Fb", "1.root", "q?x=1#f", `c:\x`, "leap.trusted"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				d := w.repo.Roles["targets"].Signed.Delegations
				d.Roles = nil
				w.repo.Delegate("targets", metadata.DelegatedRole{Name: name, Threshold: 1, Paths: []string{"client/*/*/*"}}, tuftest.NewKey(t))
				w.repo.Roles[name].Signed.Targets = w.repo.Roles["release"].Signed.Targets
				w.next()
				must(t, w.update("1.1.0"))
				w.mirror.Asked()
				w.view, w.target = nil, nil
				must(t, w.update("1.1.0"))
				if asked, _ := w.mirror.Asked(); len(asked) != 2 {
					t.Errorf("it was not kept: %v", asked)
				}
				for path := range w.kept() {
					if path != w.installed() && path != filepath.Join(w.cfg.Dir, "vendor.trusted") {
						t.Errorf("there is a file %s", path)
					}
				}
			})
		})
	}
}

// TestDelegations checks the order in which roles are asked, and what ends it.
func TestDelegations(t *testing.T) {
	type role struct {
		name        string
		terminating bool
		paths       []string
		prefixes    []string // Of hashes of paths.
		lists       bool
	}
	for name, test := range map[string]struct {
		roles []role
		want  string // Who signed; empty: nobody may.
	}{
		"the first one":   {[]role{{name: "a", paths: []string{"client/*/*/*"}, lists: true}, {name: "b", paths: []string{"client/*/*/*"}, lists: true}}, "targets a"},
		"on to the next":  {[]role{{name: "a", paths: []string{"client/*/*/*"}}, {name: "b", paths: []string{"client/*/*/*"}, lists: true}}, "targets b"},
		"terminating":     {[]role{{name: "a", terminating: true, paths: []string{"client/*/*/*"}}, {name: "b", paths: []string{"client/*/*/*"}, lists: true}}, ""},
		"no slash in *":   {[]role{{name: "a", paths: []string{"client/*"}, lists: true}}, ""},
		"not for it":      {[]role{{name: "a", terminating: true, paths: []string{"node/*/*/*"}, lists: true}, {name: "b", paths: []string{"client/linux-?md64/1.?.0/leapc"}, lists: true}}, "targets b"},
		"a bad pattern":   {[]role{{name: "a", paths: []string{"[", "client/["}, lists: true}}, ""},
		"hash of a path":  {[]role{{name: "a", prefixes: []string{"00"}, lists: true}}, ""},
		"hash of another": {[]role{{name: "a", prefixes: []string{"0123456789abcdef"}, lists: true}, {name: "b", prefixes: hexDigits(), lists: true}}, "targets b"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.repo.Roles["targets"].Signed.Delegations.Roles = nil
				for _, r := range test.roles {
					w.repo.Delegate("targets", metadata.DelegatedRole{Name: r.name, Threshold: 1, Terminating: r.terminating, Paths: r.paths, PathHashPrefixes: r.prefixes}, tuftest.NewKey(t))
					if r.lists {
						w.repo.Roles[r.name].Signed.Targets = w.repo.Roles["release"].Signed.Targets
					}
				}
				w.next()
				err := w.update("1.1.0")
				if test.want == "" {
					if !errors.Is(err, tufclient.ErrUnlisted) {
						t.Errorf("%v", err)
					}
					return
				}
				must(t, err)
				if got := strings.Join(w.target.Signers, " "); got != test.want {
					t.Errorf("signed by %s, want %s", got, test.want)
				}
			})
		})
	}
}

func hexDigits() (all []string) {
	for n := range 16 {
		all = append(all, fmt.Sprintf("%x", n))
	}
	return all
}

// TestTwoRepositories is the vendor's and the provider's: both have to agree.
func TestTwoRepositories(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(vendor, director *tuftest.Repo)
		want error
	}{
		"both": {func(v, d *tuftest.Repo) { add(t, v, release("1.1.0")); add(t, d, release("1.1.0")) }, nil},
		"director without description": {func(v, d *tuftest.Repo) {
			add(t, v, release("1.1.0"))
			d.Add("release", release("1.1.0").Path(), content("1.1.0"), nil)
		}, nil},
		"vendor only":   {func(v, _ *tuftest.Repo) { add(t, v, release("1.1.0")) }, tufclient.ErrDisagreement},
		"director only": {func(_, d *tuftest.Repo) { add(t, d, release("1.1.0")) }, tufclient.ErrDisagreement},
		"another hash": {func(v, d *tuftest.Repo) {
			add(t, v, release("1.1.0"))
			d.Add("release", release("1.1.0").Path(), bytes.ToUpper(content("1.1.0")), nil)
		}, tufclient.ErrDisagreement},
		"nobody": {func(_, _ *tuftest.Repo) {}, tufclient.ErrUnlisted},
		"vendor without description": {func(v, d *tuftest.Repo) {
			v.Add("release", release("1.1.0").Path(), content("1.1.0"), nil)
			add(t, d, release("1.1.0"))
		}, target.ErrDescription},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				before := w.kept()[w.installed()]
				director := tuftest.New(t, time.Now())
				test.do(w.repo, director)
				w.repo.Next("release")
				director.Next("release")
				w.republish()
				director.Publish()
				w.cfg.Repositories = append(w.cfg.Repositories, tufclient.Repository{Name: "director", Root: director.RootFile(1), Sources: []tufclient.Source{director.Mirror()}})
				err := w.update("1.1.0")
				if !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
				if is := w.kept()[w.installed()]; err != nil && is != before {
					t.Error("what is installed has changed")
				}
			})
		})
	}
}
