package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// Files returns the files of the store of a node that does not run, of one
// kind: the end of their names, as ".sst", ".log"; empty: all with content.
func (n *Node) Files(kind string) (files []string, err error) {
	err = filepath.WalkDir(n.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Size() > 0 && (kind == "" || filepath.Ext(path) == kind) {
			files = append(files, path)
		}
		return err
	})
	slices.Sort(files)
	return files, err
}

// Marked reports whether the node has found its store damaged.
func (n *Node) Marked() bool {
	_, err := os.Stat(filepath.Join(n.Dir, "DAMAGED"))
	return err == nil
}

// Flip inverts some bits of one file, where it is not empty space.
func Flip(rng *rand.Rand, file string, bits int) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var written []int
	for i, b := range data {
		if b != 0 {
			written = append(written, i)
		}
	}
	if len(written) == 0 {
		return errors.New("only zeros in " + file)
	}
	for range bits {
		data[written[rng.IntN(len(written))]] ^= 1 << rng.IntN(8)
	}
	return os.WriteFile(file, data, 0o600)
}

// FlipAny inverts bits somewhere in the store of a node that does not run, and
// says where.
func (n *Node) FlipAny(rng *rand.Rand, bits int) (string, error) {
	var tables []string
	for _, kind := range []string{".sst", ".log", ".blob"} {
		files, err := n.Files(kind)
		if err != nil {
			return "", err
		}
		tables = append(tables, files...)
	}
	rng.Shuffle(len(tables), func(i, j int) { tables[i], tables[j] = tables[j], tables[i] })
	for _, f := range tables {
		if err := Flip(rng, f, bits); err == nil {
			return fmt.Sprintf("%s of node %s", filepath.Base(f), n.Name), nil
		}
	}
	return "", errors.New("node " + n.Name + " has no files to damage")
}
