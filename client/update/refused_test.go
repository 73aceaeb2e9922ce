package update_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leap.example/client/update"
	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// TestRefused: what is wrong with a release leaves what is installed as it is, and
// the daemon running, and is said.
func TestRefused(t *testing.T) {
	other := func(change func(*target.Description)) target.Description {
		d := release("1.1.0")
		change(&d)
		return d
	}
	for _, test := range []struct {
		name string
		do   func(w *world)
		want error
		bad  bool // It is not tried again.
	}{
		{"another version than is signed", func(w *world) { w.add(release("1.1.0"), content("1.0.5")) }, update.ErrOther, true},
		{"another architecture than is signed", func(w *world) {
			w.add(release("1.1.0"), bytes.Replace(content("1.1.0"), []byte("amd64"), []byte("arm64"), 1))
		}, update.ErrOther, true},
		{"another system than is signed", func(w *world) {
			w.add(release("1.1.0"), bytes.Replace(content("1.1.0"), []byte("linux"), []byte("plan9"), 1))
		}, update.ErrOther, true},
		{"a program that does not work", func(w *world) { w.add(release("1.1.0"), append([]byte("fails "), content("1.1.0")...)) }, update.ErrTry, true},
		{"for other computers only", func(w *world) {
			w.add(other(func(d *target.Description) { d.Arch = "arm64" }), content("1.1.0"))
			w.add(other(func(d *target.Description) { d.OS = "windows" }), content("1.1.0"))
			w.add(other(func(d *target.Description) {
				d.Variant, d.OS, d.Documents = target.Node, "", target.Range{Oldest: 1, Newest: 1}
			}), content("1.1.0"))
		}, tufclient.ErrNothing, false},
		{"an older version", func(w *world) { w.add(release("0.9.0"), content("0.9.0")) }, tufclient.ErrNothing, false},
		{"a step too far", func(w *world) {
			w.add(other(func(d *target.Description) { d.From = "1.0.5" }), content("1.1.0"))
		}, target.ErrStep, false},
		{"a state that it does not read", func(w *world) {
			w.add(other(func(d *target.Description) { d.State = target.Range{Oldest: 2, Newest: 3} }), content("1.1.0"))
		}, target.ErrState, false},
		{"a path that says something else", func(w *world) {
			custom, err := release("1.2.0").Encode()
			must(w.t, err)
			w.repo.Add("release", release("1.1.0").Path(), content("1.1.0"), custom)
			w.repo.Next("release")
			w.repo.Publish()
			w.mirror.Files = w.repo.Mirror().Files
		}, target.ErrDescription, false},
		{"one signature of two", func(w *world) {
			w.repo.Keys["release"] = w.repo.Keys["release"][:1]
			w.add(release("1.1.0"), content("1.1.0"))
		}, tufclient.ErrThreshold, false},
		{"signed by others", func(w *world) {
			w.repo.Keys["release"] = []tuftest.Key{tuftest.NewKey(w.t), tuftest.NewKey(w.t)}
			w.add(release("1.1.0"), content("1.1.0"))
		}, tufclient.ErrThreshold, false},
		{"other bytes", func(w *world) {
			w.add(release("1.1.0"), content("1.1.0"))
			w.replace(func(text []byte) []byte { return bytes.Replace(text, []byte("amd64"), []byte("amd46"), 1) })
		}, tufclient.ErrHash, false},
		{"more bytes", func(w *world) {
			w.add(release("1.1.0"), content("1.1.0"))
			w.mirror.Answer = nil
			w.replace(func(text []byte) []byte { return append(bytes.Clone(text), 'x') })
		}, tufclient.ErrLength, false},
		{"fewer bytes", func(w *world) {
			w.add(release("1.1.0"), content("1.1.0"))
			w.replace(func(text []byte) []byte { return text[:len(text)/2] })
		}, tufclient.ErrLength, false},
		{"no bytes", func(w *world) {
			w.add(release("1.1.0"), content("1.1.0"))
			maps.DeleteFunc(w.mirror.Files, func(name string, _ []byte) bool { return strings.HasSuffix(name, "leapc") })
		}, os.ErrNotExist, false},
		{"metadata past their time", func(w *world) {
			w.add(release("1.1.0"), content("1.1.0"))
			w.cfg.Clock = func() time.Time { return time.Now().Add(31 * 24 * time.Hour) }
		}, tufclient.ErrExpired, false},
		{"older metadata", func(w *world) {
			old := w.mirror.Files
			w.add(release("1.1.0"), content("1.0.5"))
			_, _ = w.open().Check(w.t.Context())
			w.mirror.Files = old
		}, tufclient.ErrRollback, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				before := w.installed()
				test.do(w)
				_, err := w.apply()
				if !errors.Is(err, test.want) {
					t.Errorf("%v; want %v", err, test.want)
				}
				w.runs("1.0.0")
				if len(w.daemon.was) > 1 {
					t.Errorf("the daemon was restarted: %v", w.daemon.was)
				}
				after := w.installed()
				maps.DeleteFunc(after, func(name, _ string) bool { return filepath.Base(name) == ".leapc.part" })
				if !maps.Equal(before, after) {
					t.Errorf("what is installed has changed: %d files of %d", len(after), len(before))
				}
				if bad := len(w.state().Bad) > 0; bad != test.bad {
					t.Errorf("it is tried again: %v", !bad)
				}
			})
		})
	}
}

// replace changes the bytes of programs on the way.
func (w *world) replace(change func([]byte) []byte) {
	w.mirror.Files = maps.Clone(w.mirror.Files)
	for name, text := range w.mirror.Files {
		if strings.HasSuffix(name, ".leapc") {
			w.mirror.Files[name] = change(text)
		}
	}
}

// TestInterrupted: a download that broke off goes on where it was.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		text := content("1.1.0")
		w.add(release("1.1.0"), text)
		good := w.mirror.Files
		w.replace(func(text []byte) []byte { return text[:len(text)/2] })
		if _, err := w.apply(); err == nil {
			t.Fatal("half of it was enough")
		}
		part, err := os.ReadFile(filepath.Join(string(w.cfg.Prefix), "versions/1.1.0/.leapc.part"))
		if err != nil || len(part) != len(text)/2 {
			t.Fatalf("%d bytes are there, %v", len(part), err)
		}
		w.mirror.Files = good
		least := int64(len(text))
		w.cfg.Progress = func(_ string, done, _ int64) { least = min(least, done) }
		if _, err := w.apply(); err != nil {
			t.Fatal(err)
		}
		if least <= int64(len(part)) {
			t.Errorf("it began anew, at %d bytes", least)
		}
		w.runs("1.1.0")
	})
}

// TestCancelled: who is interrupted while it fetches leaves all as it is, and the
// version is not given up.
func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(release("1.1.0"), content("1.1.0"))
		ctx, stop := context.WithCancel(t.Context())
		good := w.cfg.Try
		w.cfg.Try = func(ctx context.Context, program string) (update.Says, error) {
			stop()
			<-ctx.Done()
			return update.Says{}, errors.Join(update.ErrTry, io.ErrUnexpectedEOF)
		}
		if _, err := w.open().Apply(ctx, update.How{}); !errors.Is(err, context.Canceled) {
			t.Fatalf("%v", err)
		}
		w.cfg.Try = good
		w.runs("1.0.0")
		if _, err := w.apply(); err != nil {
			t.Fatal(err)
		}
		w.runs("1.1.0")
	})
}
