package walk

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checkout makes a directory a clean checkout of this source as it is: vendors build
// nothing of one that has changes.
func checkout(t *testing.T, dir string) {
	t.Helper()
	const source = "../.."
	list := git(t, source, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	for name := range strings.SplitSeq(strings.TrimRight(list, "\x00"), "\x00") {
		from, to := filepath.Join(source, name), filepath.Join(dir, name)
		text, err := os.ReadFile(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue // It is deleted, and git has not been told.
		}
		check(t, err)
		info, err := os.Stat(from)
		check(t, err)
		check(t, os.MkdirAll(filepath.Dir(to), 0o755))
		check(t, os.WriteFile(to, text, info.Mode().Perm()))
	}
	git(t, dir, "init", "-q")
	git(t, dir, "add", "-A")
	git(t, dir, "-c", "user.name=walk", "-c", "user.email=walk@lab.example", "-c", "commit.gpgsign=false", "commit", "-q", "-m", "the source as it is")
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, exit.Stderr)
	}
	check(t, err)
	return string(out)
}
