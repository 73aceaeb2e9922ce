package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"leap.example/appliance/durable"
	"leap.example/appliance/node"
)

// keepBefore is how many generations are kept beside the current one and the
// last good one.
const keepBefore = 3

// generations are the documents that this node was given, one directory each:
// "document.json" (node.Signed) and "state.json" (node.Generation). The file
// "current" has the number of the one that is applied.
type generations struct{ dir string }

func (g generations) path(n uint64, file string) string {
	return filepath.Join(g.dir, strconv.FormatUint(n, 10), file)
}

// numbers returns all that there are, ascending.
func (g generations) numbers() ([]uint64, error) {
	entries, err := os.ReadDir(g.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []uint64
	for _, e := range entries {
		if n, err := strconv.ParseUint(e.Name(), 10, 64); err == nil && e.IsDir() {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all, nil
}

// add keeps a document as the generation s.Number. The state comes first: a
// directory without a document is what a crash left, and is no generation.
func (g generations) add(signed node.Signed, s node.Generation) error {
	text, err := json.Marshal(signed)
	if err != nil {
		return err
	}
	if err := g.setState(s); err != nil {
		return err
	}
	if err := durable.WriteFile(g.path(s.Number, "document.json"), text, 0o600); err != nil {
		return err
	}
	return durable.SyncDir(g.dir)
}

// read returns a generation: the document as it was signed, and its state.
func (g generations) read(n uint64) (signed node.Signed, state node.Generation, err error) {
	for file, v := range map[string]any{"document.json": &signed, "state.json": &state} {
		text, err := os.ReadFile(g.path(n, file))
		if err != nil {
			return signed, state, err
		}
		if _, err := node.Decode(g.path(n, file), text, v); err != nil {
			return signed, state, err
		}
	}
	return signed, state, nil
}

func (g generations) setState(s node.Generation) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.WriteFile(g.path(s.Number, "state.json"), text, 0o600)
}

// current returns the number of the applied generation. 0: none.
func (g generations) current() (uint64, error) {
	text, err := os.ReadFile(filepath.Join(g.dir, "current"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is damaged: %w", filepath.Join(g.dir, "current"), err)
	}
	return n, nil
}

func (g generations) setCurrent(n uint64) error {
	return durable.WriteFile(filepath.Join(g.dir, "current"), []byte(strconv.FormatUint(n, 10)), 0o600)
}

// summary returns the highest number that was ever given, and that of the
// newest good generation.
func (g generations) summary() (highest, good uint64, err error) {
	all, err := g.numbers()
	if err != nil {
		return 0, 0, err
	}
	if len(all) > 0 {
		highest = all[len(all)-1] // Also of what a crash left: its number may be known to somebody.
	}
	newest, err := g.good(unlimited)
	if err == nil && len(newest) > 0 {
		good = newest[0]
	}
	return highest, good, err
}

// good returns the good generations below limit, the newest first. What cannot
// be read is none.
func (g generations) good(limit uint64) ([]uint64, error) {
	all, err := g.numbers()
	if err != nil {
		return nil, err
	}
	slices.Reverse(all)
	return slices.DeleteFunc(all, func(n uint64) bool {
		_, s, err := g.read(n)
		return n >= limit || err != nil || s.State != node.StateGood
	}), nil
}

// refused returns the newest generation above a number that is bad. The zero
// value: there is none.
func (g generations) refused(above uint64) (bad node.Generation, err error) {
	all, err := g.numbers()
	if err != nil {
		return bad, err
	}
	for _, n := range all {
		if _, s, err := g.read(n); n > above && err == nil && s.State == node.StateBad {
			bad = s
		}
	}
	return bad, nil
}

// prune removes what is neither current nor the newest good one nor one of the
// last ones, and returns the secrets of those that stay.
func (g generations) prune(current uint64) (secrets map[string]bool, err error) {
	all, err := g.numbers()
	if err != nil {
		return nil, err
	}
	_, good, err := g.summary()
	if err != nil {
		return nil, err
	}
	secrets = map[string]bool{}
	for i, n := range all {
		if n != current && n != good && i < len(all)-1-keepBefore {
			// The document first: what is half removed is no generation.
			if err := os.Remove(g.path(n, "document.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			if err := os.RemoveAll(g.path(n, "")); err != nil {
				return nil, err
			}
			continue
		}
		signed, _, err := g.read(n)
		if _, disk := errors.AsType[*fs.PathError](err); disk && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		var d node.Document
		if err != nil || json.Unmarshal(signed.Text, &d) != nil {
			continue // Damaged, or what a crash left: it is never applied again.
		}
		for _, digest := range d.Secrets {
			secrets[digest] = true
		}
	}
	return secrets, durable.SyncDir(g.dir)
}
