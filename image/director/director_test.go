package director_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"leap.example/image/director"
	"leap.example/image/provider"
	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tufrepo"
	"leap.example/updater/tuftest"
)

// The two secrets of the daily job's key.
const (
	secret = "secrets/updates.online.age"
	next   = "secrets/updates.online.next.age"
)

// TestReplaceCut cuts the power between the writes of a new key of the daily job: the
// root that names it is public, and the secret is the one before. Whatever comes next
// goes on with the key that is in force, and loses it never.
func TestReplaceCut(t *testing.T) {
	for name, then := range map[string]func(*director.Director) error{
		"daily job": func(d *director.Director) error { return d.Timestamp(t.Context()) },
		"once more": func(d *director.Director) error { _, err := d.Replace(t.Context()); return err },
		"another change": func(d *director.Director) error {
			_, err := d.Rotate(t.Context(), nil, nil, 1)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "alice")
			before := w.read(secret)
			o, err := w.as("alice").Replace(t.Context())
			if err != nil || !o.Public {
				t.Fatalf("%+v, %v", o, err)
			}
			must(t, os.WriteFile(w.path(secret), before, 0o600))
			must(t, then(w.as("alice")))
			w.nodes()
			for range 2 { // And so on, for ever.
				must(t, w.as("alice").Timestamp(t.Context()))
				_, err := w.as("alice").Replace(t.Context())
				must(t, err)
			}
			w.nodes()
		})
	}
}

// TestPublishCut cuts the power while a new key is published: the root that names it
// is there, the timestamp is still of the key before, and the event waits.
func TestPublishCut(t *testing.T) {
	for _, first := range []string{"daily job", "sign again"} {
		t.Run(first, func(t *testing.T) {
			w := newWorld(t, "alice", "bob")
			_, err := w.as("alice").Replace(t.Context())
			must(t, err)
			const timestamp = "updates/director/public/metadata/timestamp.json"
			key, stamp := w.read(secret), w.read(timestamp)
			o, err := w.as("bob").Sign(t.Context(), "online")
			if err != nil || !o.Public {
				t.Fatalf("%+v, %v", o, err)
			}
			must(t, os.WriteFile(w.path(secret), key, 0o600))
			must(t, os.WriteFile(w.path(timestamp), stamp, 0o600))
			must(t, os.Rename(w.path("updates/director/done/online"), w.path("updates/director/events/online")))
			if first == "daily job" {
				must(t, w.as("alice").Timestamp(t.Context()))
				w.nodes()
			}
			if o, err := w.as("alice").Sign(t.Context(), "online"); err != nil || !o.Public {
				t.Fatalf("%+v, %v", o, err)
			}
			w.nodes()
			must(t, w.as("bob").Timestamp(t.Context()))
		})
	}
}

// TestReplaceTwice: while a new key waits for signatures it is not written over, and
// the job goes on with the one before. Given up, it makes room for another.
func TestReplaceTwice(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	o, err := w.as("alice").Replace(t.Context())
	if err != nil || o.Public {
		t.Fatalf("%+v, %v", o, err)
	}
	before := w.read(next)
	if _, err := w.as("bob").Replace(t.Context()); !errors.Is(err, director.ErrKeyWaits) || !strings.Contains(err.Error(), "leap update director sign online") {
		t.Fatalf("a second one: %v", err)
	}
	if string(w.read(next)) != string(before) {
		t.Error("the key that waits was written over")
	}
	must(t, w.as("alice").Timestamp(t.Context()))
	w.nodes()
	if o, err := w.as("bob").Sign(t.Context(), "online"); err != nil || !o.Public {
		t.Fatalf("%+v, %v", o, err)
	}
	w.nodes()
	for range 2 {
		if o, err = w.as("bob").Replace(t.Context()); err != nil || o.Public {
			t.Fatalf("%+v, %v", o, err)
		}
		must(t, w.as("alice").Drop(o.Event))
	}
	must(t, w.as("bob").Timestamp(t.Context()))
	w.nodes()
}

// TestKeyLost: without the key that the root names nothing is published, and nothing
// is changed.
func TestKeyLost(t *testing.T) {
	w := newWorld(t, "alice")
	_, err := w.as("alice").Replace(t.Context())
	must(t, err)
	other := newWorld(t, "alice")
	_, v := other.instance("alice")
	text, err := v.Get("updates.online")
	must(t, err)
	_, v = w.instance("alice")
	kept := w.read(secret)
	for _, name := range []string{"updates.online", "updates.online.next"} {
		must(t, v.Put(name, text))
	}
	d := w.as("alice")
	_, replace := d.Replace(t.Context())
	_, rotate := d.Rotate(t.Context(), nil, nil, 1)
	for _, err := range []error{d.Timestamp(t.Context()), replace, rotate} {
		if !errors.Is(err, director.ErrKeyLost) {
			t.Errorf("got %v", err)
		}
	}
	must(t, os.WriteFile(w.path(secret), kept, 0o600))
	must(t, w.as("alice").Timestamp(t.Context()))
	w.nodes()
}

// TestAllowHold lists a release and takes it back.
func TestAllowHold(t *testing.T) {
	w := newWorld(t, "alice")
	vendor := tuftest.New(t, time.Now())
	vendor.AddNode("1.2.0", []byte("a release"))
	vendor.Next("release")
	vendor.Publish()
	c, err := tufclient.Open(tufclient.Config{
		Repositories: []tufclient.Repository{{Name: "vendor", Root: vendor.RootFile(1), Sources: []tufclient.Source{vendor.Mirror()}}}, Dir: t.TempDir(),
	})
	must(t, err)
	view, err := c.Check(t.Context())
	must(t, err)
	list, err := view.All(t.Context())
	must(t, err)
	_, err = w.as("alice").Allow(t.Context(), list, target.Permission{Nodes: []string{"db1"}})
	must(t, err)
	all, err := w.as("alice").Allowed()
	if err != nil || len(all) != 1 || all[0].Version != "1.2.0" || len(all[0].Permission.Nodes) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	w.nodes()
	_, err = w.as("alice").Hold(t.Context(), "1.2.0")
	must(t, err)
	if _, err := w.as("alice").Hold(t.Context(), "1.2.0"); !errors.Is(err, director.ErrNotAllowed) {
		t.Errorf("held twice: %v", err)
	}
	w.nodes()
}

// TestErrors: what goes wrong is said in the words of "leap", without digests.
func TestErrors(t *testing.T) {
	w := newWorld(t, "alice")
	i, v := w.instance("alice")
	bob, err := provider.NewOperator("demo.example", "bob")
	must(t, err)
	w.operators["bob"] = bob
	req, err := bob.Request()
	must(t, err)
	_, err = i.AddUser(v, req, "deploy", time.Now())
	must(t, err)
	i, v = w.instance("alice")
	must(t, v.Rekey())
	_, err = director.NewKey(i, bob)
	must(t, err)
	_, replace := w.as("bob").Replace(t.Context())
	_, remove := w.as("alice").Rotate(t.Context(), nil, []string{"carol"}, 0)
	for name, err := range map[string]error{"no admin": replace, "removing nobody": remove, "no event": w.as("alice").Drop("none")} {
		if err == nil || strings.Contains(err.Error(), "leap-sign") || !strings.Contains(err.Error(), "leap update director") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !errors.Is(replace, tufrepo.ErrNotSigner) {
		t.Error(replace)
	}
	must(t, w.as("alice").Timestamp(t.Context()))
	w.nodes()
}
