package tufclient_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// TestDamaged expects that an installed file that is damaged is fetched again.
func TestDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, damage := range [][]byte{nil, []byte("short"), bytes.ToUpper(content("1.0.0")), append(content("1.0.0"), 'x')} {
			must(t, os.WriteFile(w.installed(), damage, 0o755))
			must(t, w.update("1.0.0"))
			if w.kept()[w.installed()] != string(content("1.0.0")) {
				t.Errorf("%d bytes of damage stayed", len(damage))
			}
		}
	})
}

// TestOtherSource expects that what one source does wrong leads to the next.
func TestOtherSource(t *testing.T) {
	for name, bad := range map[string]*tuftest.Mirror{
		"empty":   {},
		"garbage": {Body: func(context.Context, string, []byte) io.Reader { return strings.NewReader("{") }},
		"endless": {Body: func(context.Context, string, []byte) io.Reader { return tuftest.Endless{} }},
		"breaks":  {Body: func(_ context.Context, _ string, data []byte) io.Reader { return tuftest.Broken(data, len(data)/2) }},
		"poisons": {Body: func(_ context.Context, name string, data []byte) io.Reader {
			if strings.Contains(name, "targets/") { // The beginning of something else.
				return tuftest.Broken(bytes.ToUpper(data), len(data)/2)
			}
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.next()
				if name != "empty" {
					bad.Files = w.repo.Files
				}
				w.cfg.Repositories[0].Sources = []tufclient.Source{bad, w.mirror}
				must(t, w.update("1.1.0"))
				if w.kept()[w.installed()] != string(content("1.1.0")) {
					t.Error("1.1.0 is not installed")
				}
			})
		})
	}
}

// TestResume breaks a download off at many places: the next try asks only for
// what is missing, whoever left what is there.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.next()
		must(t, w.check())
		must(t, w.lookup("1.1.0"))
		all := content("1.1.0")
		for have := 0; have <= len(all); have += len(all) / 7 {
			for _, damaged := range []bool{false, true} {
				part := bytes.Clone(all[:have])
				if damaged && have > 0 {
					part[have-1] ^= 1
				}
				must(t, os.WriteFile(w.installed()+".part", part, 0o700))
				must(t, os.WriteFile(w.installed(), nil, 0o700))
				w.mirror.Asked()
				must(t, w.save())
				if w.kept()[w.installed()] != string(all) {
					t.Fatalf("with %d bytes, it is wrong", have)
				}
				if _, sent := w.mirror.Asked(); !damaged && sent != int64(len(all)-have) {
					t.Errorf("with %d bytes of %d, %d were sent", have, len(all), sent)
				}
			}
		}
	})
}

// TestMemory fetches 64 MiB and counts what is allocated for it.
func TestMemory(t *testing.T) {
	w := newWorld(t)
	big := bytes.Repeat([]byte("x"), 64<<20)
	w.repo.Add("targets", "big", big, nil)
	w.repo.Next("targets")
	w.republish()
	must(t, w.check())
	tg, err := w.view.Lookup(t.Context(), "big")
	must(t, err)
	var last int64
	w.cfg.Progress = func(_ string, done, _ int64) { last = done }
	c, err := tufclient.Open(w.cfg)
	must(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	must(t, c.Save(t.Context(), tg, w.installed(), 0o600))
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 || last != 64<<20 {
		t.Errorf("%d bytes were allocated, and the progress ended at %d", n, last)
	} else {
		t.Logf("64 MiB fetched with %d KiB allocated in all", n>>10)
	}
}
