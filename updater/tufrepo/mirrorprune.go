package tufrepo

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"leap.example/updater/target"
	"leap.example/updater/tufclient"
)

// hadFile is the list of what a mirror had after the last Sync.
func (m Mirror) hadFile() string { return filepath.Join(m.State, m.Repository.Name+".had.json") }

// prune removes what is neither there now nor was after the Sync before: who began to
// read then still finds it.
func (m Mirror) prune(now []string) error {
	var had []string
	text, err := read(m.hadFile(), maxTargets)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return putJSON(m.hadFile(), now, 0o600) // What else is there, somebody else put there.
	case err != nil:
		return err
	}
	if err := json.Unmarshal(text, &had); err != nil {
		had = now // A list that was damaged protects nothing.
	}
	if err := putJSON(m.hadFile(), now, 0o600); err != nil {
		return err
	}
	old, _, err := m.others(slices.Concat(had, now), "metadata", "targets")
	if err != nil {
		return err
	}
	return remove(old)
}

// makeRoom removes targets that are not chosen any more, also if who began to read
// before may miss them, if there is room for a new one then. It reports whether it has.
func (m Mirror) makeRoom(next *tufclient.Target, chosen []*tufclient.Target) (bool, error) {
	if m.Room == nil {
		return false, nil
	}
	var names []string
	for _, t := range chosen {
		names = append(names, t.Name())
	}
	old, size, err := m.others(names, "targets")
	if err != nil || len(old) == 0 || m.Room()+size < next.Length {
		return false, err
	}
	return true, remove(old)
}

// others are the files below some directories of the tree, but those of these names,
// and how many bytes they have.
func (m Mirror) others(names []string, below ...string) (paths []string, size int64, err error) {
	keep := map[string]bool{}
	for _, name := range names {
		keep[filepath.FromSlash(name)] = true
	}
	for _, sub := range below {
		err := filepath.WalkDir(filepath.Join(m.Dir, sub), func(p string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(m.Dir, p)
			if err != nil || keep[rel] {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			paths, size = append(paths, p), size+info.Size()
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	return paths, size, nil
}

func remove(paths []string) (err error) {
	for _, p := range paths {
		err = errors.Join(err, os.Remove(p))
	}
	return err
}

// publicName reports whether a name can be one of a file in a tree: metadata, or
// a target with its hash. No such name leaves the tree, or is one of a file that is
// not whole yet.
func publicName(name string) bool {
	if tufclient.IsMetadata(name) {
		return true
	}
	rest, ok := strings.CutPrefix(name, "targets/")
	dir, base := path.Split(rest)
	sum, of, _ := strings.Cut(base, ".")
	b, err := hex.DecodeString(sum)
	return ok && err == nil && len(b) == 32 && of != "" && target.CheckPath(dir+of) == nil && !strings.HasSuffix(of, ".part")
}
