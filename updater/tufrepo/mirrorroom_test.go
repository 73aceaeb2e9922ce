package tufrepo

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/updater/tufclient"
)

// used is how many bytes the files below a directory have.
func used(t *testing.T, dir string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return sum
}

// TestMirrorRoom has a copy be made where there is little room: what is not wanted any
// more goes at once where that helps, and nothing goes where it does not.
func TestMirrorRoom(t *testing.T) {
	p := newProvider(t, "1.0.0")
	dir := t.TempDir()
	size := int64(len(image("1.0.0")))
	var all, most int64
	sync := func() (string, error) {
		m := p.mirror(dir, "vendor")
		m.Keep = 1
		m.Room = func() int64 {
			now := used(t, m.Dir)
			most = max(most, now)
			return all - now
		}
		c, err := m.Sync(t.Context())
		if err != nil {
			return "", err
		}
		return c.Releases[0].Version, nil
	}
	has := func(version string) bool {
		list, err := filepath.Glob(filepath.Join(dir, "vendor/targets/node/amd64", version, "*.leap.efi"))
		p.ok(err)
		return len(list) == 1
	}
	all = size / 2
	if _, err := sync(); !errors.Is(err, tufclient.ErrSpace) || used(t, filepath.Join(dir, "vendor/targets")) > all {
		t.Errorf("with room for half of it: %v, and it has %d bytes", err, used(t, dir))
	}
	all = size + size/2
	for _, version := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		if version != "1.0.0" {
			p.release(version)
		}
		if got, err := sync(); err != nil || got != version || !has(version) || most > all {
			t.Errorf("with room for one: %q, %v, and it had %d bytes of %d", got, err, most, all)
		}
	}
	p.release("1.3.0")
	all = size / 2
	if _, err := sync(); !errors.Is(err, tufclient.ErrSpace) || !has("1.2.0") || has("1.3.0") {
		t.Errorf("with room for none: %v", err)
	}
	for _, name := range names(t, filepath.Join(dir, "vendor")) {
		if strings.HasSuffix(name, ".part") {
			t.Errorf("%s stays", name)
		}
	}
}
