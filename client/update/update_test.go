package update_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leap.example/client/update"
	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// TestApply installs one release after the other, of which two stay.
func TestApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.apply(); !errors.Is(err, tufclient.ErrNothing) {
			t.Fatalf("with nothing new: %v", err)
		}
		for _, v := range []string{"1.1.0", "1.2.0~rc1", "1.10.0"} {
			w.add(release(v), content(v))
			var far int64
			w.cfg.Progress = func(version string, done, length int64) {
				if version != v || length != int64(len(content(v))) {
					t.Errorf("%s has %d bytes, it is said", version, length)
				}
				far = done
			}
			got, err := w.apply()
			if err != nil || got != v || far != int64(len(content(v))) {
				t.Fatalf("%s, %v, %d bytes were seen; want %s", got, err, far, v)
			}
			w.runs(v)
		}
		all, err := w.cfg.Prefix.Versions()
		if want := []string{"1.2.0~rc1", "1.10.0"}; err != nil || !slices.Equal(all, want) {
			t.Errorf("%v are kept, %v; want %v", all, err, want)
		}
		s := w.state()
		if n := len(s.Log); n != 6 || s.Log[n-1].What != update.EventInstalled || s.Log[n-1].Version != "1.10.0" || s.Trial != nil {
			t.Errorf("%+v", s)
		}
		if _, err := w.apply(); !errors.Is(err, tufclient.ErrNothing) {
			t.Errorf("once more: %v", err)
		}
	})
}

// TestWays: a release comes by what has changed, packed, or whole, whatever there
// is and does.
func TestWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			add  func(w *world, old, text []byte)
			came string
		}{
			{func(*world, []byte, []byte) {}, "whole"},
			{func(w *world, _, text []byte) { w.addPacked("1.1.0", text) }, "packed"},
			{func(w *world, old, text []byte) { w.addPacked("1.1.0", text); w.addDelta(old, text) }, "what has changed"},
			{func(w *world, old, text []byte) {
				w.addPacked("1.1.0", text)
				w.addDelta(old, text)
				maps.DeleteFunc(w.mirror.Files, func(name string, _ []byte) bool { return strings.Contains(name, ".bsz") })
			}, "packed"},
		} {
			w := newWorld(t)
			text := content("1.1.0")
			w.add(release("1.1.0"), text)
			test.add(w, content("1.0.0"), text)
			if _, err := w.apply(); err != nil {
				t.Fatal(err)
			}
			w.runs("1.1.0")
			if s := w.state(); !strings.HasSuffix(s.Log[len(s.Log)-1].Detail, test.came) {
				t.Errorf("it came %q, want %q", s.Log[len(s.Log)-1].Detail, test.came)
			}
		}
	})
}

// TestCheck installs nothing, and says what is there, whose word it is, and how
// old that is.
func TestCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(release("1.1.0"), content("1.1.0"))
		before := w.installed()
		l, err := w.open().Check(t.Context())
		if err != nil || l.Offer == nil || l.Offer.Version != "1.1.0" || !slices.Equal(l.Offer.Signers, []string{"targets", "release"}) {
			t.Fatalf("%+v, %v", l, err)
		}
		if l.Source != "http://vendor.example/repo/" || l.Root != 1 || !l.At.Equal(time.Now().Truncate(time.Second)) || l.Expires.Before(time.Now()) {
			t.Errorf("%+v", l)
		}
		if !maps.Equal(before, w.installed()) {
			t.Error("something was installed")
		}
		w.runs("1.0.0")
	})
}

// TestBack: a version that does not answer is given up within a minute, and the
// one before runs again.
func TestBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		before := w.installed()
		w.add(release("1.1.0"), append(content("1.1.0"), "mute"...))
		begin := time.Now()
		_, err := w.apply()
		back, ok := errors.AsType[*update.BackError](err)
		if !ok || back.Version != "1.1.0" || back.From != "1.0.0" || back.Back != nil {
			t.Fatalf("%v", err)
		}
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("it took %v", took)
		}
		w.runs("1.0.0")
		if !maps.Equal(before, w.installed()) {
			t.Error("something is left")
		}
		if s := w.state(); len(s.Bad) != 1 || s.Bad[0].Version != "1.1.0" || s.Trial != nil {
			t.Errorf("%+v", s)
		}
		if _, err := w.apply(); !errors.Is(err, update.ErrBad) {
			t.Errorf("again: %v", err)
		}
		if l, err := w.open().Check(t.Context()); err != nil || l.Offer.Bad == "" {
			t.Errorf("%+v, %v", l, err)
		}
		if _, err := w.open().Apply(t.Context(), update.How{Retry: true}); !errors.As(err, &back) {
			t.Errorf("again by hand: %v", err)
		}
		w.add(release("1.1.1"), content("1.1.1"))
		if _, err := w.apply(); err != nil {
			t.Fatal(err)
		}
		w.runs("1.1.1")
	})
}

// TestBackByHand returns to the version before, once.
func TestBackByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if err := w.open().Back(t.Context()); !errors.Is(err, update.ErrNoBack) {
			t.Errorf("to nothing: %v", err)
		}
		w.add(release("1.1.0"), content("1.1.0"))
		if _, err := w.apply(); err != nil {
			t.Fatal(err)
		}
		back, ok := errors.AsType[*update.BackError](w.open().Back(t.Context()))
		if !ok || back.From != "1.0.0" || back.Back != nil {
			t.Fatalf("%v", back)
		}
		w.runs("1.0.0")
		if _, err := w.apply(); !errors.Is(err, update.ErrBad) {
			t.Errorf("%v", err)
		}
	})
}

// leftOnTrial has the power cut while 1.1.0 is on trial: nothing runs any more.
func (w *world) leftOnTrial() {
	w.t.Helper()
	w.add(release("1.1.0"), content("1.1.0"))
	b := tuftest.NewDisk(w.t, string(w.cfg.Prefix), 0, nil)
	good := w.cfg
	w.cfg = w.cfg.On(b)
	_, err := w.apply()
	must(w.t, err)
	w.cfg = good
	for _, left := range b.Left {
		if strings.Contains(left["update/state.json"], `"trial"`) && strings.HasSuffix(left["current"], "1.1.0") {
			w.in(filepath.Join(w.t.TempDir(), "leap"))
			left.Write(w.t, string(w.cfg.Prefix))
			return
		}
	}
	w.t.Fatal("there is no such moment")
}

// TestUndecided: a trial whose daemon does not run waits for it, and says so; also who
// knows nothing of that daemon waits.
func TestUndecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.leftOnTrial()
		for _, parts := range [][]update.Part{{w.daemon}, nil} {
			w.cfg.Parts = parts
			if _, err := w.apply(); !errors.Is(err, update.ErrUndecided) || !strings.Contains(err.Error(), "start the daemon") {
				t.Fatalf("%v", err)
			}
		}
		w.cfg.Parts = []update.Part{w.daemon}
		must(t, w.daemon.Restart(t.Context()))
		if err := w.open().Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.runs("1.1.0")
	})
}

// TestGone: a trial of which nothing is to run any more is decided by the program, tried
// by itself, and updates go on.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := newWorld(t)
		good.leftOnTrial()
		good.daemon.gone = true
		good.add(release("1.2.0"), content("1.2.0"))
		if v, err := good.apply(); err != nil || v != "1.2.0" {
			t.Errorf("%s, %v", v, err)
		}
		if s := good.state(); s.Trial != nil || !slices.ContainsFunc(s.Log, func(e update.Event) bool {
			return e.What == update.EventInstalled && e.Version == "1.1.0"
		}) {
			t.Errorf("%+v", s)
		}

		bad := newWorld(t)
		bad.leftOnTrial()
		bad.daemon.gone = true
		bad.cfg.Try = func(context.Context, string) (update.Says, error) {
			return update.Says{}, errors.New("no room for a process")
		}
		if err := bad.open().Settle(t.Context()); err == nil || errors.As(err, new(*update.BackError)) || bad.state().Trial == nil {
			t.Errorf("what is not the program's fault has decided: %v", err)
		}
		bad.cfg.Try = fails("it ends at once")
		back, ok := errors.AsType[*update.BackError](bad.open().Settle(t.Context()))
		if !ok || back.From != "1.0.0" || back.Back != nil || !errors.Is(back, update.ErrTry) {
			t.Errorf("%v", back)
		}
		if v, err := bad.cfg.Prefix.Current(); err != nil || v != "1.0.0" || len(bad.state().Bad) != 1 || len(bad.daemon.was) > 0 {
			t.Errorf("%s is current, %v; %+v; %v was started", v, err, bad.state(), bad.daemon.was)
		}
	})
}

// TestNoDaemon: what does not run is not judged, and not started.
func TestNoDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.daemon.runs, w.daemon.was = "", nil
		w.add(release("1.1.0"), content("1.1.0"))
		if _, err := w.apply(); err != nil || len(w.daemon.was) > 0 {
			t.Fatalf("%v, %v was started", err, w.daemon.was)
		}
		if v, err := w.cfg.Prefix.Current(); v != "1.1.0" {
			t.Errorf("%s is current, %v", v, err)
		}
	})
}

// TestWaves: a release is not installed before its turn, unless somebody says so;
// what is halted is not installed at all.
func TestWaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(release("1.1.0"), content("1.1.0"))
		r := target.Rollout{Release: "1.1.0", Begins: time.Now().UTC(), Waves: []target.Wave{{After: target.Duration(time.Hour), Percent: 100}}}
		halted := r
		halted.Halt = true
		w.plan(halted)
		if _, err := w.open().Apply(t.Context(), update.How{Now: true}); !errors.Is(err, target.ErrHeld) {
			t.Fatalf("halted: %v", err)
		}
		if s := w.state(); s.Looked.Held == "" || s.Looked.Offer != nil {
			t.Errorf("%+v", s.Looked)
		}
		w.plan(r)
		_, err := w.apply()
		wait, ok := errors.AsType[*update.WaitError](err)
		if !ok || !wait.Due.Equal(r.Begins.Add(time.Hour)) {
			t.Fatalf("%v", err)
		}
		w.runs("1.0.0")
		time.Sleep(time.Hour)
		if _, err := w.apply(); err != nil {
			t.Fatal(err)
		}
		w.runs("1.1.0")
		w.add(release("1.2.0"), content("1.2.0"))
		r.Release, r.Begins = "1.2.0", time.Now().UTC()
		w.plan(r)
		if _, err := w.open().Apply(t.Context(), update.How{Now: true}); err != nil {
			t.Fatal(err)
		}
		w.runs("1.2.0")
	})
}

// TestPosition: all who look from one computer are in the same wave, and the
// secret stays as it is.
func TestPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		path := filepath.Join(w.cfg.Prefix.Dir(), "position")
		secret, err := os.ReadFile(path)
		if err != nil || len(secret) != 32 {
			t.Fatalf("%d bytes, %v", len(secret), err)
		}
		other := w.cfg
		other.Dir = t.TempDir()
		u, err := update.New(other)
		must(t, err)
		if _, err := u.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(other.Dir, "position")); err == nil {
			t.Error("who only looks has made a secret of his own")
		}
		if _, err := w.apply(); !errors.Is(err, tufclient.ErrNothing) {
			t.Fatal(err)
		}
		if again, err := os.ReadFile(path); err != nil || !slices.Equal(secret, again) {
			t.Errorf("the secret is another one, %v", err)
		}
	})
}

// TestUnderLoad: all the while that an update goes on, others ask what there is,
// and current leads to a whole program.
func TestUnderLoad(t *testing.T) {
	w := newWorld(t)
	for _, v := range []string{"1.1.0", "1.2.0", "1.3.0"} {
		w.add(release(v), content(v))
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		asked := make(chan struct{}, 1000)
		for range 4 {
			all.Go(func() {
				for ctx.Err() == nil {
					text, err := os.ReadFile(w.cfg.Prefix.Start())
					if err != nil || !strings.HasPrefix(string(text), "1.") || string(text) != string(content(strings.Fields(string(text))[0])) {
						t.Errorf("what is current has %d bytes, %v", len(text), err)
						return
					}
					if _, err := update.ReadState(w.cfg.Prefix.Dir()); err != nil {
						t.Error(err)
					}
					select {
					case asked <- struct{}{}:
					default:
					}
				}
			})
		}
		<-asked
		_, err := w.apply()
		<-asked
		stop()
		all.Wait()
		if err != nil {
			t.Fatal(err)
		}
		w.runs(v)
	}
}

// TestTwoAtOnce: two processes that update the same prefix do so one after the
// other.
func TestTwoAtOnce(t *testing.T) {
	w := newWorld(t)
	w.add(release("1.1.0"), content("1.1.0"))
	var all sync.WaitGroup
	results := make(chan error, 4)
	for range 4 {
		u := w.open()
		all.Go(func() {
			_, err := u.Apply(t.Context(), update.How{})
			results <- err
		})
	}
	all.Wait()
	close(results)
	good := 0
	for err := range results {
		if err == nil {
			good++
		} else if !errors.Is(err, tufclient.ErrNothing) {
			t.Error(err)
		}
	}
	if good != 1 {
		t.Errorf("%d of 4 have installed it", good)
	}
	w.runs("1.1.0")
}

// TestNoVendor: a build without one says so.
func TestNoVendor(t *testing.T) {
	w := newWorld(t)
	w.cfg.Vendor = update.Vendor{Schema: 1}
	if _, err := update.New(w.cfg); !errors.Is(err, update.ErrNoVendor) {
		t.Errorf("%v", err)
	}
	own := update.Vendor{Schema: 1}
	if v, err := w.cfg.Prefix.Vendor(own); err != nil || len(v.Sources) != 1 {
		t.Errorf("the vendor of the prefix is %+v, %v", v, err)
	}
}

// TestNotMine: who does not own a prefix does not change it.
func TestNotMine(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("LOUD: only root can give a prefix to somebody else")
	}
	w := newWorld(t)
	w.add(release("1.1.0"), content("1.1.0"))
	must(t, os.Chown(string(w.cfg.Prefix), 4242, -1))
	if _, err := w.apply(); !errors.Is(err, update.ErrNotMine) {
		t.Errorf("%v", err)
	}
}

// TestWatcher announces a release within half a day of its publication, and
// settles what it finds.
func TestWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		watch := update.NewWatcher(w.open())
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- watch.Run(ctx) }()
		time.Sleep(10 * time.Minute)
		if l, why := watch.Looked(); l.At.IsZero() || why != "" {
			t.Errorf("after ten minutes: %+v, %s", l, why)
		}
		synctest.Wait()
		files := w.mirror.Files
		w.mirror.Files = nil
		w.mirror.Asked() // Whoever asks from now on sees it.
		time.Sleep(9 * time.Hour)
		if _, why := watch.Looked(); why == "" {
			t.Error("that nobody answers is not said")
		}
		synctest.Wait()
		w.mirror.Files = files
		w.add(release("1.1.0"), content("1.1.0"))
		w.mirror.Asked()
		time.Sleep(time.Hour) // After a failure it looks sooner.
		if l, why := watch.Looked(); l.Offer == nil || l.Offer.Version != "1.1.0" || why != "" {
			t.Errorf("after nine hours: %+v, %s", l, why)
		}
		w.runs("1.0.0")
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for range 1000 {
		if d := update.About(6 * time.Hour); d < 3*time.Hour || d >= 9*time.Hour {
			t.Fatalf("it waits %v", d)
		}
	}
}

func TestOf(t *testing.T) {
	for path, want := range map[string]string{
		"/opt/leap/versions/1.4.0/leapc":     "/opt/leap",
		"/opt/leap/versions/1.4.0~rc1/leapc": "/opt/leap",
		"/opt/leap/versions/new/leapc":       "",
		"/opt/leap/versions/1.4.0/leapd":     "",
		"/usr/local/bin/leapc":               "",
		"versions/1.4.0/leapc":               "",
		"/versions/1.4.0/leapc":              "/",
		"":                                   "",
	} {
		if got, ok := update.Of(path); string(got) != want || ok != (want != "") {
			t.Errorf("Of(%q) = %q, %v", path, got, ok)
		}
	}
	if got := update.Start("/opt/leap/versions/1.4.0/leapc"); got != "/opt/leap/current/leapc" {
		t.Errorf("it is started as %s", got)
	}
	if got := update.Start("/usr/local/bin/leapc"); got != "/usr/local/bin/leapc" {
		t.Errorf("it is started as %s", got)
	}
}

func TestCurrent(t *testing.T) {
	p := update.Prefix(t.TempDir())
	for _, to := range []string{"/etc", "versions", "versions/x", "../versions/1.0.0", "versions/1.0.0/.."} {
		must(t, os.Symlink(to, filepath.Join(string(p), "current")))
		if v, err := p.Current(); !errors.Is(err, update.ErrPrefix) {
			t.Errorf("a link to %s is %q, %v", to, v, err)
		}
		must(t, os.Remove(filepath.Join(string(p), "current")))
	}
}
