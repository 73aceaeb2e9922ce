package bigcouch_test

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leap.example/services/bigcouch"
	"leap.example/services/bigcouch/store"
)

// A promise to a founder who is gone is shown, with what to do, and released.
func TestRelease(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, "a", "b")
	n := uint16(slices.IndexFunc(c.place, func(voters []string) bool { return voters[0] == "a" }))
	st, err := store.Open(store.Options{Dir: filepath.Join(c.dirs["a"], "db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Log(n).SetValue([]byte("Promise"), []byte("z@lost")); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	c.start("a")
	a := c.nodes["a"]
	poll(t, func() bool {
		return slices.ContainsFunc(a.overview().Problems, func(p string) bool {
			return strings.Contains(p, "promised to z@lost") && strings.Contains(p, "leapd couch recover --release")
		})
	})
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	log, cfg := slog.New(slog.DiscardHandler), config(t, c.dirs["a"])
	if _, err := bigcouch.Promises(cfg, log); err == nil {
		t.Error("a node by itself has promises")
	}
	c.with("a")(&cfg)
	want := []bigcouch.Promise{{Shard: n, To: "z@lost"}}
	if got, err := bigcouch.Promises(cfg, log); err != nil || !slices.Equal(got, want) {
		t.Errorf("promises: %v, %v", got, err)
	}
	if got, err := bigcouch.Release(cfg, []uint16{n + 1}, log); err == nil {
		t.Errorf("another shard is released: %v", got)
	}
	if got, err := bigcouch.Release(cfg, nil, log); err != nil || !slices.Equal(got, want) {
		t.Errorf("released: %v, %v", got, err)
	}
	if got, err := bigcouch.Promises(cfg, log); err != nil || len(got) > 0 {
		t.Errorf("promises after that: %v, %v", got, err)
	}
}
