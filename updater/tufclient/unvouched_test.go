package tufclient_test

import (
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// TestUnvouched finds what the second repository alone lists.
func TestUnvouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		director := tuftest.New(t, time.Now())
		arm := release("9.0.0")
		arm.Arch = "arm64"
		add(t, director, arm)
		for _, version := range []string{"0.8.0", "1.0.0", "1.1.0", "1.2.0"} {
			add(t, director, release(version))
		}
		director.Next("release")
		director.Publish()
		w.cfg.Repositories = append(w.cfg.Repositories, tufclient.Repository{
			Name: "director", Root: director.RootFile(1), Sources: []tufclient.Source{director.Mirror()},
		})
		w.cfg.Dir = filepath.Join(w.dir, "both")
		must(t, w.check())
		got, err := w.view.Unvouched(t.Context(), machine) // 0.9 runs, and the vendor lists 1.0.0.
		if want := []string{"client/linux-amd64/1.1.0/leapc", "client/linux-amd64/1.2.0/leapc"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}
