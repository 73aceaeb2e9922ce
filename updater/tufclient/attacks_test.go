package tufclient_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// attacks are those of a mirror, and those for which somebody has some of the keys.
func attacks() map[string]attack {
	all := map[string]attack{
		// What is old.
		"timestamp rolled back": {want: tufclient.ErrRollback, do: func(w *world) {
			w.mirror.Files["metadata/timestamp.json"] = w.before["metadata/timestamp.json"]
		}},
		"timestamp rolled back, and it alone": {want: tufclient.ErrRollback, do: func(w *world) {
			w.timestamp(func(s *metadata.TimestampType) { s.Version = 1 })
		}},
		"snapshot rolled back, and it alone": {want: tufclient.ErrRollback, do: func(w *world) {
			w.repo.Snapshot.Signed.Version = 1
			w.mirror.Files["metadata/1.snapshot.json"] = tuftest.Sign(w.t, w.repo.Snapshot, w.repo.Keys["snapshot"]...)
			w.timestamp(func(s *metadata.TimestampType) {
				s.Version++
				s.Meta["snapshot.json"] = &metadata.MetaFiles{Version: 1}
			})
		}},
		"snapshot rolled back": {want: tufclient.ErrRollback, do: func(w *world) {
			w.timestamp(func(s *metadata.TimestampType) {
				s.Version++
				s.Meta["snapshot.json"] = &metadata.MetaFiles{Version: 1}
			})
		}},
		"targets rolled back": {want: tufclient.ErrRollback, do: func(w *world) {
			w.repo.Snapshot.Signed.Meta["targets.json"] = &metadata.MetaFiles{Version: 1}
			w.repo.PublishSnapshot()
			maps.Copy(w.mirror.Files, w.repo.Files)
		}},
		"delegated role dropped": {want: tufclient.ErrRollback, do: func(w *world) {
			delete(w.repo.Snapshot.Signed.Meta, "release.json")
			w.repo.PublishSnapshot()
			maps.Copy(w.mirror.Files, w.repo.Files)
		}},
		"root rolled back": {want: tufclient.ErrRollback, do: func(w *world) {
			w.mirror.Files["metadata/2.root.json"] = w.mirror.Files["metadata/1.root.json"]
		}},
		"frozen": {want: tufclient.ErrExpired, do: func(w *world) {
			w.mirror.Files = maps.Clone(w.repo.Files)
			w.clock = 31 * day
		}},
		"clock ten years ahead": {want: tufclient.ErrExpired, do: func(w *world) { w.clock = 3650 * day }},
		"newer root hidden": {want: tufclient.ErrThreshold, moves: true, do: func(w *world) {
			old := w.repo.Mirror().Files
			w.repo.NextRoot(func() {
				k := tuftest.NewKey(w.t)
				w.repo.SetKeys("snapshot", 1, k)
				w.repo.SetKeys("timestamp", 1, k)
			})
			w.republish()
			must(w.t, w.check())
			w.view, w.mirror.Files = nil, old // The stolen keys go on signing.
		}},
		// What does not belong together.
		"old snapshot under a new name": {want: tufclient.ErrMixed, do: func(w *world) {
			w.mirror.Files["metadata/3.snapshot.json"] = w.mirror.Files["metadata/2.snapshot.json"]
		}},
		"old snapshot, hash not listed": {want: tufclient.ErrRollback, do: func(w *world) {
			w.mirror.Files["metadata/3.snapshot.json"] = w.mirror.Files["metadata/2.snapshot.json"]
			w.timestamp(func(s *metadata.TimestampType) { s.Meta["snapshot.json"] = &metadata.MetaFiles{Version: 3} })
		}},
		"newer snapshot, hash not listed": {want: tufclient.ErrMixed, do: func(w *world) {
			w.timestamp(func(s *metadata.TimestampType) { s.Meta["snapshot.json"] = &metadata.MetaFiles{Version: 3} })
			w.repo.Snapshot.Signed.Version = 9
			w.mirror.Files["metadata/3.snapshot.json"] = tuftest.Sign(w.t, w.repo.Snapshot, w.repo.Keys["snapshot"]...)
		}},
		"old targets under a new name": {want: tufclient.ErrMixed, do: func(w *world) {
			w.mirror.Files["metadata/3.targets.json"] = w.mirror.Files["metadata/2.targets.json"]
		}},
		"old delegated role": {at: atLookup, want: tufclient.ErrMixed, do: func(w *world) {
			w.mirror.Files["metadata/3.release.json"] = w.mirror.Files["metadata/2.release.json"]
		}},
		// Who has not signed.
		"timestamp of another key": {want: tufclient.ErrThreshold, do: func(w *world) {
			w.mirror.Files["metadata/timestamp.json"] = tuftest.Sign(w.t, w.repo.Timestamp, tuftest.NewKey(w.t))
		}},
		"timestamp not signed": {want: tufclient.ErrThreshold, do: func(w *world) {
			w.mirror.Files["metadata/timestamp.json"] = tuftest.Sign(w.t, w.repo.Timestamp)
		}},
		"one of two": {want: tufclient.ErrThreshold, do: func(w *world) {
			w.repo.Next("targets")
			w.repo.Keys["targets"] = w.repo.Keys["targets"][:1]
			w.republish()
		}},
		"two signatures of one key": {want: tufclient.ErrMalformed, do: func(w *world) {
			w.repo.Next("targets")
			w.repo.Keys["targets"][1] = w.repo.Keys["targets"][0]
			w.republish()
		}},
		"one key under two names": {want: tufclient.ErrThreshold, moves: true, do: func(w *world) {
			k := tuftest.NewKey(w.t)
			d := w.repo.Roles["targets"].Signed.Delegations
			d.Keys["another-name"] = k.Public
			d.Roles[0].KeyIDs = []string{k.ID, "another-name"}
			d.Keys[k.ID] = k.Public
			w.repo.Next("targets", "release")
			w.repo.Keys["release"] = []tuftest.Key{k}
			w.repo.Publish()
			m := w.repo.Roles["release"]
			m.Signatures = append(m.Signatures, metadata.Signature{KeyID: "another-name", Signature: m.Signatures[0].Signature})
			data, err := m.ToBytes(false)
			must(w.t, err)
			w.repo.PublishRole("release", data, m.Signed.Version)
			w.repo.PublishSnapshot()
			maps.Copy(w.mirror.Files, w.repo.Files)
		}},
		"root by new keys only": {want: tufclient.ErrThreshold, do: func(w *world) {
			w.repo.SetKeys("root", 2, tuftest.NewKey(w.t), tuftest.NewKey(w.t), tuftest.NewKey(w.t))
			w.repo.Root.Signed.Version++
			w.repo.PublishRoot()
			maps.Copy(w.mirror.Files, w.repo.Files)
		}},
		"root by old keys only": {want: tufclient.ErrThreshold, do: func(w *world) {
			old := w.repo.Keys["root"]
			w.repo.SetKeys("root", 2, tuftest.NewKey(w.t), tuftest.NewKey(w.t), tuftest.NewKey(w.t))
			w.repo.Root.Signed.Version++
			w.repo.Keys["root"] = old
			w.repo.PublishRoot()
			maps.Copy(w.mirror.Files, w.repo.Files)
		}},
		"role of another delegator": {want: tufclient.ErrThreshold, moves: true, do: func(w *world) {
			// Both delegate to "shared"; it is signed as the second one says.
			one, other := tuftest.NewKey(w.t), tuftest.NewKey(w.t)
			d := &w.repo.Roles["targets"].Signed.Delegations.Roles[0]
			d.Terminating, d.Paths = false, []string{"no/*"}
			for _, by := range []struct {
				name, path string
				key        tuftest.Key
			}{{"first", "client/*/1.1.0/*", one}, {"second", "client/*/1.0.0/*", other}} {
				w.repo.Delegate("targets", metadata.DelegatedRole{Name: by.name, Threshold: 1, Paths: []string{by.path}}, tuftest.NewKey(w.t))
				w.repo.Delegate(by.name, metadata.DelegatedRole{Name: "shared", Threshold: 1, Paths: []string{"client/*/*/*"}}, by.key)
			}
			w.repo.Keys["shared"] = []tuftest.Key{other}
			maps.Copy(w.repo.Roles["shared"].Signed.Targets, w.repo.Roles["release"].Signed.Targets)
			w.repo.Next("targets")
			w.republish()
			must(w.t, w.check())
			must(w.t, w.lookup("1.0.0")) // By way of "second": now it is known.
			w.target = nil
		}},
		// What is not what it should be.
		"another type":     {want: tufclient.ErrMalformed, do: func(w *world) { w.mirror.Files["metadata/timestamp.json"] = w.mirror.Files["metadata/3.snapshot.json"] }},
		"not JSON":         {want: tufclient.ErrMalformed, do: func(w *world) { w.body("timestamp", text("<html>")) }},
		"nothing":          {want: tufclient.ErrMalformed, do: func(w *world) { w.body("timestamp", text("")) }},
		"too deep":         {want: tufclient.ErrMalformed, do: func(w *world) { w.body("timestamp", text(strings.Repeat("[", 16000))) }},
		"no root but text": {want: tufclient.ErrMalformed, do: func(w *world) { w.mirror.Files["metadata/2.root.json"] = []byte("{}") }},
		"a part missing, signed": {want: tufclient.ErrMalformed, do: func(w *world) {
			w.timestamp(func(s *metadata.TimestampType) { s.Version++; s.Meta["snapshot.json"] = nil })
		}},
		"all parts missing, signed": {want: tufclient.ErrMalformed, do: func(w *world) {
			w.timestamp(func(s *metadata.TimestampType) { s.Version++; s.Meta = nil })
		}},
		"another specification, signed": {want: tufclient.ErrMalformed, do: func(w *world) {
			w.timestamp(func(s *metadata.TimestampType) { s.Version++; s.SpecVersion = "2.0.0" })
		}},
		"a null that makes the reader panic": {want: tufclient.ErrMalformed, do: func(w *world) {
			// Without a hash in the snapshot, a mirror can send it.
			w.repo.Snapshot.Signed.Meta["targets.json"] = &metadata.MetaFiles{Version: 3}
			w.repo.PublishSnapshot()
			maps.Copy(w.mirror.Files, w.repo.Files)
			w.body("targets", text(`{"signed":{"_type":"targets","targets":{"a":null}},"signatures":[]}`))
		}},
		"version zero, signed": {want: tufclient.ErrMalformed, do: func(w *world) { w.timestamp(func(s *metadata.TimestampType) { s.Version = 0 }) }},
		// Too much, too little, too slow.
		"snapshot longer":    {want: tufclient.ErrLength, do: func(w *world) { w.body("snapshot", more) }},
		"snapshot shorter":   {want: tufclient.ErrMixed, do: func(w *world) { w.body("snapshot", less) }},
		"target longer":      {at: atFetch, want: tufclient.ErrLength, do: func(w *world) { w.body("leapc", more) }},
		"target shorter":     {at: atFetch, want: tufclient.ErrLength, do: func(w *world) { w.body("leapc", less) }},
		"target endless":     {at: atFetch, want: tufclient.ErrLength, do: func(w *world) { w.body("leapc", endless) }},
		"target slow":        {at: atFetch, want: tufclient.ErrSlow, do: func(w *world) { w.body("leapc", trickle) }},
		"arbitrary software": {at: atFetch, want: tufclient.ErrHash, do: func(w *world) { w.body("leapc", garbage) }},
		"the program that was": {at: atFetch, want: tufclient.ErrHash, do: func(w *world) {
			w.body("leapc", func(context.Context, []byte) io.Reader { return bytes.NewReader(content("1.0.0")) })
		}},
		"target gone": {at: atFetch, want: fs.ErrNotExist, do: func(w *world) { w.mirror.Files = nil }},
		"snapshot claims a lot": {want: tufclient.ErrLength, do: func(w *world) {
			w.timestamp(func(s *metadata.TimestampType) { s.Meta["snapshot.json"].Length = 1 << 40 })
		}},
		"delegated role endless":  {at: atLookup, want: tufclient.ErrLength, do: func(w *world) { w.body("release", endless) }},
		"delegated role garbage":  {at: atLookup, want: tufclient.ErrMixed, do: func(w *world) { w.body("release", garbage) }},
		"delegated role withheld": {at: atLookup, want: fs.ErrNotExist, do: func(w *world) { delete(w.mirror.Files, "metadata/3.release.json") }},
		// Who may sign, and says the wrong thing.
		"role of the top level delegated": {want: tufclient.ErrMalformed, do: func(w *world) {
			w.repo.Roles["targets"].Signed.Delegations.Roles[0].Name = "timestamp"
			w.repo.Next("targets")
			w.republish()
		}},
		"paths that nobody may sign": {want: tufclient.ErrUnlisted, moves: true, do: func(w *world) {
			w.repo.Roles["targets"].Signed.Delegations.Roles[0].Paths = []string{"client/*/1.0.0/*"}
			w.repo.Next("targets")
			w.republish()
		}},
		"delegations without an end": {want: tufclient.ErrDepth, moves: true, do: func(w *world) {
			k := tuftest.NewKey(w.t)
			w.repo.Roles["targets"].Signed.Delegations.Roles = nil
			by := "targets"
			for n := range 40 {
				name := fmt.Sprintf("r%d", n)
				w.repo.Delegate(by, metadata.DelegatedRole{Name: name, Threshold: 1, Paths: []string{"client/*/*/*"}}, k)
				by = name
			}
			w.repo.Next("targets")
			w.republish()
		}},
		"delegations in a circle": {want: tufclient.ErrUnlisted, moves: true, do: func(w *world) {
			k := tuftest.NewKey(w.t)
			w.repo.Roles["targets"].Signed.Delegations.Roles = nil
			for _, by := range [][2]string{{"targets", "a"}, {"a", "b"}, {"b", "a"}} {
				w.repo.Delegate(by[0], metadata.DelegatedRole{Name: by[1], Threshold: 1, Paths: []string{"client/*/*/*"}}, k)
			}
			w.repo.Next("targets")
			w.republish()
		}},
	}
	for _, role := range []string{"2.root", "timestamp", "3.snapshot", "3.targets"} {
		all[role+" endless"] = attack{want: tufclient.ErrLength, do: func(w *world) {
			w.mirror.Files["metadata/"+role+".json"] = append(w.mirror.Files["metadata/"+role+".json"], ' ')
			w.body(role, endless)
		}}
		all[role+" slow"] = attack{want: tufclient.ErrSlow, do: func(w *world) {
			w.mirror.Files["metadata/"+role+".json"] = append(w.mirror.Files["metadata/"+role+".json"], ' ')
			w.body(role, trickle)
		}}
	}
	// Each role expires alone.
	for role, change := range map[string]func(w *world, at time.Time){
		"timestamp": func(w *world, at time.Time) { w.repo.Timestamp.Signed.Expires = at },
		"snapshot":  func(w *world, at time.Time) { w.repo.Snapshot.Signed.Expires = at },
		"targets":   func(w *world, at time.Time) { w.repo.Roles["targets"].Signed.Expires = at },
	} {
		all[role+" expired"] = attack{want: tufclient.ErrExpired, do: func(w *world) {
			change(w, time.Now().UTC())
			w.repo.Next("targets", "release")
			w.republish()
		}}
	}
	all["release expired"] = attack{want: tufclient.ErrExpired, moves: true, do: func(w *world) {
		w.repo.Roles["release"].Signed.Expires = time.Now().UTC()
		w.repo.Next("release")
		w.republish()
	}}
	all["root expired"] = attack{want: tufclient.ErrExpired, moves: true, do: func(w *world) {
		w.repo.NextRoot(func() { w.repo.Root.Signed.Expires = time.Now().UTC() })
		w.republish()
	}}
	// A description that does not fit the path.
	for what, change := range map[string]func(*target.Description){
		"variant":      func(d *target.Description) { d.Variant, d.OS, d.Documents = target.Node, "", d.State },
		"architecture": func(d *target.Description) { d.Arch = "arm64" },
		"version":      func(d *target.Description) { d.Version = "1.2.0" },
		"schema":       func(d *target.Description) { d.Schema = 7 },
	} {
		want := target.ErrDescription
		if what == "schema" {
			want = target.ErrNewer
		}
		all["another "+what+" in the description"] = attack{want: want, moves: true, do: func(w *world) {
			d := release("1.1.0")
			change(&d)
			custom := fmt.Appendf(nil, `{"schema":%d,"release":"1.1.0","variant":%q,"version":%q,"os":%q,"arch":%q,"state":{"oldest":1,"newest":1},"documents":{"oldest":%d,"newest":%d},"least_ram_mib":64}`,
				d.Schema, d.Variant, d.Version, d.OS, d.Arch, d.Documents.Oldest, d.Documents.Newest)
			w.repo.Add("release", release("1.1.0").Path(), content("1.1.0"), custom)
			w.repo.Next("release")
			w.republish()
		}}
	}
	return all
}
