package update_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"leap.example/client/update"
)

// aProgram is a file that can be installed.
func aProgram(t *testing.T, version string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "leapc")
	must(t, os.WriteFile(path, content(version), 0o755))
	return path
}

// nothingIn fails the test if there is something in a directory.
func nothingIn(t *testing.T, dir string) {
	t.Helper()
	if all, err := os.ReadDir(dir); err != nil || len(all) > 0 {
		t.Errorf("in %s there is %v, %v", dir, all, err)
	}
}

// TestInstall makes a prefix where there was no directory, and changes it.
func TestInstall(t *testing.T) {
	p := update.Prefix(filepath.Join(t.TempDir(), "lib", "leap"))
	if got, want := update.Above(p), filepath.Dir(filepath.Dir(string(p))); got != want {
		t.Errorf("above it is %s, want %s", got, want)
	}
	for _, v := range []string{"1.0.0", "1.1.0", "1.1.0", "1.0.0"} {
		must(t, update.Install(t.Context(), p, aProgram(t, v), v, nil))
		if got, err := p.Current(); err != nil || got != v || !p.Mine() {
			t.Errorf("%s is current, %v; want %s", got, err, v)
		}
	}
	for _, bad := range []update.Prefix{"leap", ""} {
		if err := update.Install(t.Context(), bad, aProgram(t, "1.0.0"), "1.0.0", nil); !errors.Is(err, update.ErrPrefix) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestInstallElsewhere: by a link nothing is made.
func TestInstallElsewhere(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	link := filepath.Join(dir, "link")
	must(t, os.Symlink(elsewhere, link))
	inside := filepath.Join(dir, "inside")
	must(t, os.Mkdir(inside, 0o755))
	must(t, os.Symlink(elsewhere, filepath.Join(inside, "versions")))
	for _, p := range []string{link, inside} {
		if err := update.Install(t.Context(), update.Prefix(p), aProgram(t, "1.0.0"), "1.0.0", nil); !errors.Is(err, update.ErrNotMine) {
			t.Errorf("%s: %v", p, err)
		}
	}
	nothingIn(t, elsewhere)
}

// TestInstallOpen: where others can write nothing is made, nor below, unless they can
// rename only what is theirs there.
func TestInstallOpen(t *testing.T) {
	for _, test := range []struct {
		mode      fs.FileMode
		in, below bool
	}{
		{mode: 0o700, in: true, below: true},
		{mode: 0o755, in: true, below: true},
		{mode: 0o775},
		{mode: 0o757},
		{mode: 0o777},
		{mode: 0o775 | fs.ModeSetgid},
		{mode: 0o777 | fs.ModeSticky, below: true},
	} {
		dir := filepath.Join(t.TempDir(), "dir")
		must(t, os.Mkdir(dir, 0o755))
		must(t, os.Chmod(dir, test.mode))
		below := filepath.Join(dir, "lib", "leap")
		for p, want := range map[string]bool{dir: test.in, below: test.below} {
			err := update.Install(t.Context(), update.Prefix(p), aProgram(t, "1.0.0"), "1.0.0", nil)
			open, ok := errors.AsType[*update.WritableError](err)
			if ok == want || !ok && err != nil {
				t.Errorf("%v, %s: %v", test.mode, p, err)
			} else if ok && (open.Dir != dir || !strings.Contains(err.Error(), `"chmod go-w `+dir+`"`)) {
				t.Errorf("%v, %s: %v", test.mode, p, err)
			}
		}
		if !test.in && !test.below {
			nothingIn(t, dir)
		}
	}
	// What is there already may be opened to others later.
	p := update.Prefix(filepath.Join(t.TempDir(), "leap"))
	must(t, update.Install(t.Context(), p, aProgram(t, "1.0.0"), "1.0.0", nil))
	for _, dir := range []string{string(p), p.Dir(), filepath.Join(string(p), "versions")} {
		must(t, os.Chmod(dir, 0o775))
		if err := update.Install(t.Context(), p, aProgram(t, "1.1.0"), "1.1.0", nil); !errors.As(err, new(*update.WritableError)) {
			t.Errorf("%s: %v", dir, err)
		}
		must(t, os.Chmod(dir, 0o755))
	}
}

// TestInstallOthers: root makes nothing in what is another user's.
func TestInstallOthers(t *testing.T) {
	theirs := filepath.Join(t.TempDir(), "theirs")
	must(t, os.Mkdir(theirs, 0o755))
	if err := os.Chown(theirs, 4242, 4242); err != nil {
		t.Skip("LOUD: nothing can be given to others here, and so whether root writes in what is theirs was not tried:", err)
	}
	for _, p := range []string{theirs, filepath.Join(theirs, "leap"), filepath.Join(theirs, "lib", "leap")} {
		if err := update.Install(t.Context(), update.Prefix(p), aProgram(t, "1.0.0"), "1.0.0", nil); !errors.Is(err, update.ErrNotMine) {
			t.Errorf("%s: %v", p, err)
		}
		nothingIn(t, theirs)
	}
}

// TestInstallWaits until nobody else is at it.
func TestInstallWaits(t *testing.T) {
	p := update.Prefix(filepath.Join(t.TempDir(), "leap"))
	must(t, update.Install(t.Context(), p, aProgram(t, "1.0.0"), "1.0.0", nil))
	f, err := os.Open(filepath.Join(p.Dir(), "lock"))
	must(t, err)
	defer f.Close()
	must(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX)) // As an Apply has it.
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if err := update.Install(ctx, p, aProgram(t, "1.1.0"), "1.1.0", nil); !errors.Is(err, update.ErrBusy) {
		t.Errorf("beside another: %v", err)
	}
	if v, err := p.Current(); err != nil || v != "1.0.0" {
		t.Errorf("%s is current, %v", v, err)
	}
	done, next := make(chan error, 1), aProgram(t, "1.1.0")
	go func() { done <- update.Install(t.Context(), p, next, "1.1.0", nil) }()
	must(t, syscall.Flock(int(f.Fd()), syscall.LOCK_UN))
	must(t, <-done)
	if v, err := p.Current(); err != nil || v != "1.1.0" {
		t.Errorf("%s is current, %v", v, err)
	}
}
