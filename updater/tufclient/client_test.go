package tufclient_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// TestNoNews counts what a check asks for when there is nothing new, and what it
// changes.
func TestNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mirror.Asked()
		before := w.kept()
		must(t, w.update("1.0.0"))
		asked, sent := w.mirror.Asked()
		if want := []string{"metadata/2.root.json", "metadata/timestamp.json"}; !slices.Equal(asked, want) || sent > 20_000 {
			t.Errorf("%v were asked for, %d bytes", asked, sent)
		}
		if !maps.Equal(before, w.kept()) {
			t.Error("something has changed")
		}
		t.Logf("without news: %d requests, %d bytes", len(asked), sent)
	})
}

// TestRoots follows 300 roots in one check, and more than are followed in one by
// several.
func TestRoots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 300 {
			w.repo.NextRoot(func() {})
		}
		w.next()
		must(t, w.check())
		root := func() int64 {
			c, err := tufclient.Open(w.cfg)
			must(t, err)
			all, err := c.Status()
			must(t, err)
			return all[0].Root
		}
		if got := root(); got != 301 {
			t.Errorf("root %d is trusted", got)
		}
		for range 10 {
			w.repo.NextRoot(func() {})
		}
		w.republish()
		w.cfg.Limits.Roots = 6
		if err := w.check(); !errors.Is(err, tufclient.ErrRoots) || root() != 307 {
			t.Errorf("%v, root %d", err, root())
		}
		if err := w.check(); err != nil || root() != 311 {
			t.Errorf("%v, root %d", err, root())
		}
	})
}

// TestBuiltRoot expects that the newer one of the roots that the program was
// built with and that was kept counts.
func TestBuiltRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.repo.NextRoot(func() {})
		w.mirror.Files = maps.Clone(w.repo.Files)
		must(t, w.check()) // Root 2 is kept, and the program is built with root 1.
		delete(w.mirror.Files, "metadata/2.root.json")
		must(t, w.check())
		c, err := tufclient.Open(w.cfg)
		must(t, err)
		if st, err := c.Status(); err != nil || st[0].Root != 2 {
			t.Errorf("%+v, %v", st, err)
		}
		w.repo.NextRoot(func() { w.repo.SetKeys("timestamp", 1, tuftest.NewKey(t)) })
		w.cfg.Repositories[0].Root = w.repo.RootFile(3)
		if err := w.check(); !errors.Is(err, tufclient.ErrThreshold) {
			t.Errorf("the old keys sign under the root of a newer program: %v", err)
		}
		w.repo.PublishSnapshot()
		maps.Copy(w.mirror.Files, w.repo.Files)
		must(t, w.check())
	})
}

// TestFastForward expects that huge versions, signed with stolen keys, count no
// longer once the keys are replaced.
func TestFastForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		good := *w.repo.Timestamp
		w.repo.Snapshot.Signed.Version = 1 << 60
		w.repo.Timestamp.Signed.Version = 1 << 60
		w.republish()
		must(t, w.check())
		w.repo.Timestamp.Signed.Version = good.Signed.Version
		w.repo.Snapshot.Signed.Version, w.repo.Timestamp.Signed.Version = 3, 3
		w.republish()
		if err := w.check(); !errors.Is(err, tufclient.ErrRollback) {
			t.Fatalf("before the keys are replaced: %v", err)
		}
		w.repo.NextRoot(func() { w.repo.SetKeys("snapshot", 1, tuftest.NewKey(t)) })
		w.next()
		must(t, w.update("1.1.0"))
	})
}

// TestUnknownKeys expects that keys and signatures that mean nothing to this
// program do no harm.
func TestUnknownKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.repo.NextRoot(func() {
			role := w.repo.Root.Signed.Roles["targets"]
			role.KeyIDs = append(role.KeyIDs, "of-the-future", "nowhere", "short")
			w.repo.Root.Signed.Keys["of-the-future"] = &metadata.Key{Type: "ml-dsa", Scheme: "ml-dsa-65", Value: metadata.KeyVal{PublicKey: "00"}}
			w.repo.Root.Signed.Keys["short"] = &metadata.Key{Type: "ed25519", Scheme: "ed25519", Value: metadata.KeyVal{PublicKey: "00"}}
			w.repo.Root.Signed.Keys["nothing"] = nil
		})
		w.repo.Keys["targets"] = append(w.repo.Keys["targets"], tuftest.NewKey(t))
		w.next()
		must(t, w.update("1.1.0"))
	})
}

// TestClockBack expects that a clock that was set back makes nothing valid again,
// and keeps nobody from updating.
func TestClockBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.clock = -3650 * day
		w.next()
		must(t, w.update("1.1.0"))
		w.clock = 29 * day
		must(t, w.check())
		w.repo.Timestamp.Signed.Expires = time.Now().Add(28 * day).UTC()
		w.republish()
		w.clock = 0
		if err := w.check(); !errors.Is(err, tufclient.ErrExpired) {
			t.Errorf("what had expired is in force again: %v", err)
		}
		w.cfg.Dir = filepath.Join(w.dir, "other")
		w.cfg.Built = time.Now().Add(31 * day)
		if err := w.check(); !errors.Is(err, tufclient.ErrExpired) {
			t.Errorf("before the program was built: %v", err)
		}
	})
}

// TestFrozen expects that a timestamp which was in force expires, also if it is
// the only one that does.
func TestFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.repo.Timestamp.Signed.Expires = time.Now().Add(day).UTC()
		w.republish()
		must(t, w.check())
		w.clock = day
		if err := w.check(); !errors.Is(err, tufclient.ErrExpired) {
			t.Errorf("%v", err)
		}
	})
}

// TestNoConsistentSnapshots reads a repository whose names have no versions.
func TestNoConsistentSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.repo.NextRoot(func() { w.repo.Root.Signed.ConsistentSnapshot = false })
		w.next()
		w.mirror.Files = map[string][]byte{
			"metadata/2.root.json":               w.repo.RootFile(2),
			"metadata/timestamp.json":            w.repo.Files["metadata/timestamp.json"],
			"metadata/snapshot.json":             w.repo.Files["metadata/3.snapshot.json"],
			"metadata/targets.json":              w.repo.Files["metadata/3.targets.json"],
			"metadata/release.json":              w.repo.Files["metadata/3.release.json"],
			"targets/" + release("1.1.0").Path(): content("1.1.0"),
		}
		must(t, w.update("1.1.0"))
	})
}

// TestState expects that a state that is damaged is said to be, and that opening
// and asking for the status change nothing.
func TestState(t *testing.T) {
	w := newWorld(t)
	c, err := tufclient.Open(w.cfg)
	must(t, err)
	all, err := c.Status()
	if err != nil || len(all) != 1 || all[0].Timestamp != 2 || all[0].Checked.IsZero() || all[0].Expires.Before(time.Now()) {
		t.Errorf("status %+v, %v", all, err)
	}
	path := filepath.Join(w.cfg.Dir, "vendor.trusted")
	data, err := os.ReadFile(path)
	must(t, err)
	for name, damage := range map[string][]byte{"empty": nil, "garbage": []byte("garbage"), "half": data[:len(data)/2]} {
		must(t, os.WriteFile(path, damage, 0o600))
		if _, err := tufclient.Open(w.cfg); !errors.Is(err, tufclient.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
		if is, err := os.ReadFile(path); err != nil || !bytes.Equal(is, damage) {
			t.Errorf("%s: it was changed", name)
		}
	}
}

// TestOpenRefuses expects errors for what cannot be right.
func TestOpenRefuses(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*tufclient.Config){
		"nothing":     func(c *tufclient.Config) { c.Repositories = nil },
		"name":        func(c *tufclient.Config) { c.Repositories[0].Name = "../x" },
		"source":      func(c *tufclient.Config) { c.Repositories[0].Sources = nil },
		"root":        func(c *tufclient.Config) { c.Repositories[0].Root = []byte("{}") },
		"other root":  func(c *tufclient.Config) { c.Repositories[0].Root = w.repo.Files["metadata/timestamp.json"] },
		"twice a one": func(c *tufclient.Config) { c.Repositories = append(c.Repositories, c.Repositories[0]) },
	} {
		cfg := w.cfg
		cfg.Repositories = slices.Clone(cfg.Repositories)
		change(&cfg)
		if _, err := tufclient.Open(cfg); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
