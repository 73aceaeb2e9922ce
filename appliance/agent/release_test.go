package agent_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/efi/efitest"
	"leap.example/appliance/node"
	"leap.example/appliance/slots"
	"leap.example/services/protocol/problem"
)

// newBooted is a world whose node has these releases on its disk and has taken a
// document; 1.2.0 runs.
func newBooted(t *testing.T, files ...string) *world {
	t.Helper()
	w := newWorld(t)
	w.good(w.document(1, map[string]part{"mx": {}}), nil)
	w.stop()
	esp := filepath.Join(w.dir, "esp")
	check(t, os.MkdirAll(filepath.Join(esp, "EFI/Linux"), 0o700))
	for _, name := range files {
		check(t, os.WriteFile(filepath.Join(esp, "EFI/Linux", name), nil, 0o600))
	}
	w.releases = &slots.Slots{
		Running: "1.2.0", Dir: filepath.Join(w.dir, "releases"), ESP: func(_ context.Context, f func(string) error) error { return f(esp) },
	}
	w.boot = node.Boot{Perm: true, Loader: "systemd-boot"}
	return w
}

// files fails unless these are the files of releases.
func (w *world) files(want ...string) {
	w.t.Helper()
	all, err := os.ReadDir(filepath.Join(w.dir, "esp/EFI/Linux"))
	check(w.t, err)
	var got []string
	for _, f := range all {
		got = append(got, f.Name())
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("there are %q, not %q", got, want)
	}
}

// put pushes a release.
func (w *world) put(cert *tls.Certificate, query string, content []byte) (string, error) {
	w.t.Helper()
	sum := sha256.Sum256(content)
	resp, err := w.send(cert, http.MethodPut, fmt.Sprintf("%s?sha256=%s&%s", node.PathRelease, hex.EncodeToString(sum[:]), query), content)
	check(w.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(w.t, err)
	if resp.StatusCode != http.StatusOK {
		return "", problem.Parse(resp.StatusCode, body)
	}
	return string(body), nil
}

func TestTrialGood(t *testing.T) {
	t.Parallel()
	w := newBooted(t, "leap_1.0.0.efi", "leap_1.1.0.efi", "leap_1.2.0+2-1.efi")
	w.boot.Trial = &node.Trial{Left: 2, Done: 1, Within: node.Duration(time.Hour)}
	w.start()
	w.eventually("the release is good", func(s node.Status) bool { return s.Image.State == node.StateGood && len(s.Image.Kept) > 0 })
	w.files("leap_1.1.0.efi", "leap_1.2.0.efi")
	if s := w.status(); len(s.Image.Kept) != 2 || s.Image.Kept[0] != (node.Release{Version: "1.2.0", State: node.StateGood}) || len(s.Trouble) > 0 {
		t.Errorf("it says %+v", s)
	}
	if w.sup.restarts() > 0 {
		t.Error("the machine is to be restarted")
	}
}

func TestTrialBad(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ill  string
		perm bool
		want string
	}{
		"ill":  {"no queue", true, "not healthy within 2s: mx: mx: no queue"},
		"perm": {"", false, "the writable partition cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newBooted(t, "leap_1.1.0.efi", "leap_1.2.0+2-1.efi")
			w.boot.Trial = &node.Trial{Left: 2, Done: 1}
			w.ill, w.boot.Perm = test.ill, test.perm
			w.start()
			if test.ill != "" {
				if _, _, err := w.apply(w.bundle(w.document(2, nil), nil)); err == nil || !strings.Contains(err.Error(), "release 1.2.0 is on trial") {
					t.Errorf("a document meanwhile: %v", err)
				}
			}
			w.eventually("it restarts", func(node.Status) bool { return w.sup.restarts() > 0 })
			w.files("leap_1.1.0.efi", "leap_1.2.0+0-1.efi")
			known, err := w.releases.Known()
			if err != nil || len(known) != 1 || known[0].Version != "1.2.0" || !strings.HasPrefix(known[0].Reason, test.want) {
				t.Errorf("it knows %+v, %v", known, err)
			}
		})
	}
}

// TestTrialOnly has a release on trial that is bad, and no other one: the node
// stays with it and says so.
func TestTrialOnly(t *testing.T) {
	t.Parallel()
	w := newBooted(t, "leap_1.2.0+0-4.efi")
	w.boot.Trial, w.ill = &node.Trial{Done: 4}, "no queue"
	w.start()
	w.eventually("it says so", func(s node.Status) bool {
		return strings.Contains(strings.Join(s.Trouble, " "), "release 1.2.0 is bad: not healthy within 2s: mx: mx: no queue") &&
			strings.Contains(strings.Join(s.Trouble, " "), slots.ErrOnly.Error())
	})
	w.files("leap_1.2.0+0-4.efi")
	w.sup.heal()
	w.good(w.document(2, map[string]part{"mx": {}, "dns": {}}), nil) // It would stay bad for ever.
	w.eventually("it is good after all", func(s node.Status) bool { return s.Image.State == node.StateGood && len(s.Trouble) == 0 })
	w.files("leap_1.2.0.efi")
	if w.sup.restarts() > 0 {
		t.Error("the machine is to be restarted")
	}
}

// TestRelease gives a node releases, and has it go back.
func TestRelease(t *testing.T) {
	t.Parallel()
	w := newBooted(t, "leap_1.1.0.efi", "leap_1.2.0.efi", "leap_1.3.0+0-3.efi")
	w.start()
	w.eventually("it has looked", func(s node.Status) bool { return s.Image.State == node.StateGood && len(s.Image.Kept) == 2 })
	if s := w.status(); len(s.Image.Bad) != 1 || s.Image.Bad[0].Version != "1.3.0" || !strings.HasPrefix(s.Image.Bad[0].Reason, "started 3 times") {
		t.Errorf("it says %+v", s.Image)
	}
	good := efitest.UKI("1.3.0", "kernel", "initrd")
	reader := w.operators.operator(t, node.RoleRead, time.Now().Add(time.Hour))
	for name, test := range map[string]struct {
		cert    *tls.Certificate
		query   string
		content []byte
		kind    problem.Kind
		want    string
	}{
		"read-only":       {reader, "version=1.4.0", good, problem.Permission, "role"},
		"empty":           {w.deployer(), "version=1.4.0", nil, problem.Invalid, "length"},
		"no version":      {w.deployer(), "", good, problem.Invalid, "version"},
		"truncated":       {w.deployer(), "version=1.4.0", good[:len(good)-100], problem.Invalid, "not the release that it should be"},
		"another version": {w.deployer(), "version=1.4.0", good, problem.Invalid, "it says that it is release 1.3.0"},
		"older":           {w.deployer(), "version=1.1.0", good, problem.Invalid, "the newest release, and this is none"},
		"bad before":      {w.deployer(), "version=1.3.0", good, problem.Invalid, "found bad before: started 3 times"},
	} {
		if _, err := w.put(test.cert, test.query, test.content); !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, not %q", name, err, test.want)
		}
	}
	w.files("leap_1.1.0.efi", "leap_1.2.0.efi")
	// 30 s for the clock, 2.4 s for the gate, 30 s for the start.
	if armed, err := w.put(w.deployer(), "version=1.3.0&again=1", good); err != nil || strings.TrimSpace(armed) != `{"version":"1.3.0","within":"1m2.4s"}` {
		t.Errorf("again: %s, %v", armed, err)
	}
	w.files("leap_1.1.0.efi", "leap_1.2.0.efi", "leap_1.3.0+3.efi")
	if s := w.status(); s.Image.Kept[0] != (node.Release{Version: "1.3.0", State: node.StateTrial}) || len(s.Image.Bad) > 0 {
		t.Errorf("it says %+v", s.Image)
	}
	resp, err := w.ask(w.deployer(), http.MethodPost, node.PathBack, nil)
	check(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Errorf("going back: %s", resp.Status)
	}
	w.eventually("it restarts", func(node.Status) bool { return w.sup.restarts() == 1 })
	w.files("leap_1.1.0.efi", "leap_1.2.0+0-1.efi", "leap_1.3.0+3.efi")
}

// TestReleaseClock has somebody come whose certificate has expired, while the
// node does not know the time.
func TestReleaseClock(t *testing.T) {
	t.Parallel()
	w := newBooted(t, "leap_1.1.0.efi", "leap_1.2.0.efi")
	w.clockUnknown.Store(true)
	w.start()
	late := w.operators.operator(t, node.RoleDeploy, time.Now().Add(-time.Minute))
	good := efitest.UKI("1.3.0", "kernel", "initrd")
	if _, err := w.put(late, "version=1.3.0", good); !errors.Is(err, problem.Permission) || !strings.Contains(err.Error(), "this certificate is good from") {
		t.Errorf("a release: %v", err)
	}
	resp, err := w.ask(late, http.MethodPost, node.PathBack, nil)
	check(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("going back: %s", resp.Status)
	}
	resp, err = w.ask(late, http.MethodPost, node.PathTask+"mx/invite", nil)
	check(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a task: %s", resp.Status)
	}
	if _, err := w.put(w.deployer(), "version=1.3.0", good); err != nil {
		t.Error(err)
	}
	w.files("leap_1.1.0.efi", "leap_1.2.0.efi", "leap_1.3.0+3.efi")
}

// TestDirect has a machine that was started without its boot loader.
func TestDirect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if s := w.status(); s.Image.Loader != "" || s.Image.State != "" {
		t.Errorf("it says %+v", s.Image)
	}
	if _, err := w.put(w.deployer(), "version=1.3.0", efitest.UKI("1.3.0", "kernel", "initrd")); err == nil || !strings.Contains(err.Error(), "without the boot loader") {
		t.Errorf("a release: %v", err)
	}
	resp, err := w.ask(w.deployer(), http.MethodPost, node.PathBack, nil)
	check(t, err)
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !bytes.Contains(body, []byte("without the boot loader")) {
		t.Errorf("going back: %s, %v", body, err)
	}
}
