package tufclient_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"leap.example/updater/tufclient"
)

// span is where a file lies in a tar.
func span(t *testing.T, data []byte, name string) (from, to int) {
	t.Helper()
	from = bytes.Index(data, []byte(name+"\x00"))
	if from < 0 {
		t.Fatalf("there is no %s", name)
	}
	size, err := strconv.ParseInt(strings.Trim(string(data[from+124:from+136]), " \x00"), 8, 64)
	must(t, err)
	return from, from + 512 + (int(size)+511)/512*512
}

// TestSalvage damages each part of what is trusted: the client begins again with no
// older root than can be read, knows as well what time it was, and goes on.
func TestSalvage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.repo.NextRoot(func() {})
		w.next()
		must(t, w.update("1.1.0"))
		path := filepath.Join(w.cfg.Dir, "vendor.trusted")
		data, err := os.ReadFile(path)
		must(t, err)
		status := func() tufclient.Status {
			t.Helper()
			c, err := tufclient.Open(w.cfg)
			must(t, err)
			all, err := c.Status()
			must(t, err)
			return all[0]
		}
		want := status()
		if want.Root != 2 {
			t.Fatalf("it trusts %+v", want)
		}
		var said error
		try := func(name string, damaged []byte, from, to int) {
			t.Helper()
			touches := func(file string) bool {
				a, b := span(t, data, file)
				return from < b && a < to
			}
			must(t, os.WriteFile(path, damaged, 0o600))
			said, w.cfg.Damaged = nil, func(repository string, err error) { said = errors.Join(said, err) }
			is := status()
			if said != nil && !errors.Is(said, tufclient.ErrState) {
				t.Errorf("%s: it says %v", name, said)
			}
			if is.Root != want.Root && !touches("root.json") || is.Root < 1 {
				t.Errorf("%s: it trusts root %d", name, is.Root)
			}
			if !is.Checked.Equal(want.Checked) && !touches("seen") {
				t.Errorf("%s: it was seen at %v", name, is.Checked)
			}
			if is.Timestamp != want.Timestamp && !touches("timestamp.json") && !touches("root.json") {
				t.Errorf("%s: it knows timestamp %d", name, is.Timestamp)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, damaged) {
				t.Errorf("%s: it was changed", name)
			}
			must(t, w.check())
			w.cfg.Damaged = nil
			if is := status(); is.Root != want.Root || is.Timestamp != want.Timestamp {
				t.Errorf("%s: afterwards it trusts %+v", name, is)
			}
		}
		try("nothing is left", nil, 0, len(data))
		if said == nil {
			t.Error("it says nothing")
		}
		try("garbage", bytes.Repeat([]byte("x"), len(data)+77), 0, len(data))
		for at := 0; at < len(data); at += 512 {
			bad := bytes.Clone(data)
			for i := at; i < min(at+512, len(data)); i += 7 {
				bad[i] ^= 0xff
			}
			try("at "+strconv.Itoa(at), bad, at, at+512)
			try("up to "+strconv.Itoa(at), data[:at], at, len(data))
			try("a bit more", data[:at+10], at, len(data))
		}
	})
}

// TestSalvageRollback has a mirror use the damage to bring back what is old.
func TestSalvageRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		old := maps.Clone(w.mirror.Files)
		w.repo.NextRoot(func() {})
		w.next()
		must(t, w.check())
		must(t, w.lookup("1.1.0")) // So there is a delegated role, too, before the root.
		path := filepath.Join(w.cfg.Dir, "vendor.trusted")
		data, err := os.ReadFile(path)
		must(t, err)
		from, to := span(t, data, "release.json")
		if root, _ := span(t, data, "root.json"); from != 0 || root != to {
			t.Fatalf("it lies from %d to %d, the root at %d", from, to, root)
		}
		must(t, os.WriteFile(path, slices.Concat(make([]byte, to), data[to:]), 0o600))
		w.mirror.Files = old
		w.cfg.Damaged = func(string, error) {}
		if err := w.check(); !errors.Is(err, tufclient.ErrRollback) {
			t.Errorf("what is old came back: %v", err)
		}
		w.mirror.Files = maps.Clone(w.repo.Files)
		must(t, w.update("1.1.0"))
	})
}
