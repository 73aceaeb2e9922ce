package slots

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"leap.example/appliance/node"
	"leap.example/updater/target"
)

// defaultWithin is how long a trial may take of which nothing is known: longer
// than the default times of the gate.
const defaultWithin = 15 * time.Minute

// ErrBad is that a release was found bad before.
var ErrBad = errors.New("this release was found bad before")

// A trial is what the release that writes another one leaves for it to read.
type trial struct {
	Version string        `json:"version"`
	Within  node.Duration `json:"within"`
}

const (
	trialFile = "trial.json"
	badPrefix = "bad-" // And the version, ".json": a [node.BadRelease].
)

// record writes a file of what is known. Without a directory nothing is.
func (s *Slots) record(name string, v any) error {
	if s.Dir == "" {
		return nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.files().keep(filepath.Join(s.Dir, name), text)
}

// Within says how long a release that is on trial may take, from its start,
// until it is found good. What is unknown or damaged has a default.
func (s *Slots) Within(version string) time.Duration {
	var t trial
	text, err := os.ReadFile(filepath.Join(s.Dir, trialFile))
	if s.Dir == "" || err != nil || json.Unmarshal(text, &t) != nil || t.Version != version || t.Within <= 0 {
		return defaultWithin
	}
	return time.Duration(t.Within)
}

// Known returns the releases that were found bad, newest first.
func (s *Slots) Known() ([]node.BadRelease, error) {
	if s.Dir == "" {
		return nil, nil
	}
	files, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []node.BadRelease
	for _, f := range files {
		version, ok := strings.CutPrefix(f.Name(), badPrefix)
		version, isJSON := strings.CutSuffix(version, ".json")
		if !ok || !isJSON || target.CheckVersion(version) != nil {
			continue
		}
		bad := node.BadRelease{Reason: "the file that says why is damaged"}
		text, err := os.ReadFile(filepath.Join(s.Dir, f.Name()))
		if err != nil {
			return nil, err
		}
		_ = json.Unmarshal(text, &bad) // What counts is that there is the file.
		bad.Version = version
		all = append(all, bad)
	}
	slices.SortFunc(all, func(a, b node.BadRelease) int {
		return cmp.Or(target.Compare(b.Version, a.Version), cmp.Compare(a.Version, b.Version))
	})
	return all, nil
}

// remember records that a release is bad. The first reason stays.
func (s *Slots) remember(version, reason string) error {
	known, err := s.Known()
	if err != nil || slices.ContainsFunc(known, func(b node.BadRelease) bool { return b.Version == version }) {
		return err
	}
	return s.record(badPrefix+version+".json", node.BadRelease{Version: version, Reason: reason, Since: time.Now().UTC()})
}

// forgive forgets that a release was found bad, if it was.
func (s *Slots) forgive(version string) error {
	if s.Dir == "" {
		return nil
	}
	err := s.files().forget(filepath.Join(s.Dir, badPrefix+version+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// allowed reports with [ErrBad] why a release is not to be tried.
func (s *Slots) allowed(version string) error {
	known, err := s.Known()
	if err != nil {
		return err
	}
	for _, b := range known {
		if b.Version == version {
			return fmt.Errorf("%w: %s", ErrBad, b.Reason)
		}
	}
	return nil
}
