package foreign

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

//go:embed testdata/package.json
var manifest []byte

//go:embed testdata/package-lock.json
var lock []byte

// installed is done once in a process.
var installed = sync.OnceValues(install)

// Lacking says what is missing to run anything here; nil if nothing is.
func Lacking() error {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("there is no %s; Debian's packages nodejs and npm have it", program)
		}
	}
	if _, err := installed(); err != nil {
		return fmt.Errorf("npm could not install pouchdb-server: %w", err)
	}
	return nil
}

// Modules returns the directory node_modules with what package-lock.json
// names, or ends the test.
func Modules(t testing.TB) string {
	t.Helper()
	if err := Lacking(); err != nil {
		lacks(t, "%v", err)
	}
	dir, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// install makes the directory of modules in the user's cache, unless it is
// there. Of several processes one wins, and the others throw theirs away.
func install() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	home := filepath.Join(cache, "leap-couch-judges")
	dir := filepath.Join(home, fmt.Sprintf("%x", sha256.Sum256(lock))[:16])
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules, nil
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp(home, "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	for name, data := range map[string][]byte{"package.json": manifest, "package-lock.json": lock} {
		if err := os.WriteFile(filepath.Join(scratch, name), data, 0o644); err != nil {
			return "", err
		}
	}
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error")
	cmd.Dir = scratch
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, &said)
	}
	if err := os.Rename(scratch, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return modules, nil
}
