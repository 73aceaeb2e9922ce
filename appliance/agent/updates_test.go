package agent_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/efi/efitest"
	"leap.example/appliance/node"
	"leap.example/appliance/update"
	"leap.example/updater/tuftest"
)

// updating has a node update itself from two repositories, which it returns with
// what publishes a release in both.
func (w *world) updating(generation uint64) (d node.Document, publish func(version string)) {
	w.t.Helper()
	vendor, director := tuftest.New(w.t, time.Now()), tuftest.New(w.t, time.Now())
	mirrors := map[string]*tuftest.Mirror{"/vendor/": vendor.Mirror(), "/director/": director.Mirror()}
	mux := http.NewServeMux()
	for path := range mirrors {
		mux.HandleFunc(path, func(rw http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			m := mirrors[path]
			w.mu.Unlock()
			m.ServeHTTP(rw, r)
		})
	}
	srv := httptest.NewServer(mux)
	w.t.Cleanup(srv.Close)
	w.update = &update.Config{Node: "mail1", Version: w.release, Dir: filepath.Join(w.dir, "update")}
	d = w.document(generation, map[string]part{"mx": {}})
	d.Updates = &node.Updates{
		Vendor:   node.Repository{Sources: []string{srv.URL + "/vendor/repo/"}, Root: string(vendor.RootFile(1))},
		Director: node.Repository{Sources: []string{srv.URL + "/director/repo/"}, Root: string(director.RootFile(1))},
		Poll:     node.Duration(time.Second),
	}
	return d, func(version string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for path, r := range map[string]*tuftest.Repo{"/vendor/": vendor, "/director/": director} {
			r.AddNode(version, efitest.UKI(version, "kernel", "initrd"))
			r.Next("release")
			r.Publish()
			mirrors[path] = r.Mirror()
		}
	}
}

// boots starts a release, as the boot loader does: it gives its file another name.
func (w *world) boots(version, from, to string) {
	w.t.Helper()
	dir := filepath.Join(w.dir, "esp/EFI/Linux")
	check(w.t, os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)))
	w.release, w.releases.Running, w.update.Version = version, version, version
	w.boot.Trial = &node.Trial{Left: 2, Done: 1, Within: node.Duration(time.Hour)}
	w.start()
}

// TestSelfUpdate has a node find a release, try it, and find it good.
func TestSelfUpdate(t *testing.T) {
	t.Parallel()
	w := newBooted(t, "leap_1.2.0.efi")
	d, publish := w.updating(2)
	w.start()
	w.eventually("it runs", func(s node.Status) bool { return s.Image.State == node.StateGood && s.Update == nil })
	if resp, err := w.ask(w.deployer(), http.MethodPost, node.PathUpdate, nil); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("without updates: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	w.good(d, nil)
	w.eventually("there is nothing new", func(s node.Status) bool { return s.Update != nil && s.Update.State == node.UpdateNothing })
	publish("1.3.0")
	w.eventually("it restarts", func(node.Status) bool { return w.sup.restarts() > 0 })
	w.files("leap_1.2.0.efi", "leap_1.3.0+3.efi")
	w.eventually("it says so", func(s node.Status) bool { return s.Update.State == node.UpdateArmed && s.Update.Release == "1.3.0" })
	w.stop()
	w.boots("1.3.0", "leap_1.3.0+3.efi", "leap_1.3.0+2-1.efi")
	w.eventually("it is good", func(s node.Status) bool {
		return s.Image.State == node.StateGood && s.Update != nil && s.Update.State == node.UpdateNothing
	})
	w.files("leap_1.2.0.efi", "leap_1.3.0.efi")
	for path, want := range map[string]int{node.PathUpdate: http.StatusAccepted, node.PathUpdate + "?again=1": http.StatusAccepted} {
		resp, err := w.ask(w.deployer(), http.MethodPost, path, nil)
		check(t, err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

// TestSelfUpdateBlind has a release on trial not see the repositories any more.
func TestSelfUpdateBlind(t *testing.T) {
	t.Parallel()
	w := newBooted(t, "leap_1.2.0.efi")
	d, publish := w.updating(2)
	w.start()
	w.good(d, nil)
	publish("1.3.0")
	w.eventually("it restarts", func(node.Status) bool { return w.sup.restarts() > 0 })
	w.stop()
	w.update.Transport = http.NewFileTransport(http.Dir(t.TempDir()))
	w.boots("1.3.0", "leap_1.3.0+3.efi", "leap_1.3.0+2-1.efi")
	w.eventually("it goes back", func(node.Status) bool { return w.sup.restarts() > 0 })
	w.files("leap_1.2.0.efi", "leap_1.3.0+0-1.efi")
	known, err := w.releases.Known()
	if err != nil || len(known) != 1 || !strings.HasPrefix(known[0].Reason, "it cannot look for updates, so that nothing could replace it: ") {
		t.Errorf("it knows %+v, %v", known, err)
	}
}

// TestSelfUpdateTrouble has the machine not restart, its disk be nearly full, and what
// it trusts be damaged: each is said, what was armed is taken back, and it goes on by
// itself once it can.
func TestSelfUpdateTrouble(t *testing.T) {
	t.Parallel()
	w := newBooted(t, "leap_1.2.0.efi")
	d, publish := w.updating(2)
	w.start()
	w.good(d, nil)
	w.sup.stick(errors.New("the supervisor is gone"))
	publish("1.3.0")
	says := func(what string) func(node.Status) bool {
		return func(s node.Status) bool {
			return s.Update != nil && s.Update.State == node.UpdateFailed && strings.Contains(s.Update.Reason, what)
		}
	}
	w.eventually("it does not restart", says("the supervisor is gone"))
	w.free.Store(5 << 20) // A twentieth of the disk.
	publish("1.4.0")
	w.eventually("the disk is full", says("the disk is full"))
	w.files("leap_1.2.0.efi")
	w.eventually("it says that it was damaged", func(s node.Status) bool { // A look may have written it just now.
		check(t, os.WriteFile(filepath.Join(w.dir, "update/vendor.trusted"), []byte("noise"), 0o600))
		return strings.Contains(strings.Join(s.Trouble, " "), "repository vendor could not be read")
	})
	w.sup.stick(nil)
	w.free.Store(50 << 20)
	w.eventually("it restarts", func(node.Status) bool { return w.sup.restarts() > 0 })
	w.files("leap_1.2.0.efi", "leap_1.4.0+3.efi")
}
