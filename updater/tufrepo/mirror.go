package tufrepo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"leap.example/updater/target"
	"leap.example/updater/tufclient"
)

// A Mirror is a copy of another repository: a tree of files like that of a Repo.
// It vouches for nothing: it is verified while it is copied, as a client does, so
// that it never passes on what clients would refuse, and clients verify it again.
type Mirror struct {
	Repository tufclient.Repository
	Dir        string // The tree.
	// State is where is kept what the mirror trusts and what it has; several mirrors
	// may have the same one. It holds no secret, and is not for others to write.
	State string
	// Bare copies metadata alone: a director has nothing else.
	Bare bool
	Keep int // So many of the newest releases of each program. 0: all.
	// Want chooses releases by their paths' descriptions. Nil: all.
	Want func(target.Description) bool
	// Pin has releases be copied, by their paths, that are not among the newest: those
	// that a director lists (Listed). Nil: none.
	Pin []string
	// Partial passes over targets that no source has: a bundle has few of them.
	Partial  bool
	Room     func() int64     // See tufclient.Config.
	Clock    func() time.Time // Nil: time.Now.
	Built    time.Time        // See tufclient.Config.
	Limits   tufclient.Limits
	Progress func(path string, done, length int64)
	Damaged  func(repository string, err error) // See tufclient.Config.

	write func(path string, from io.Reader, mode fs.FileMode) error // Nil: put. Tests break the disk.
}

// A Copied is what a mirror has after it was copied.
type Copied struct {
	Releases []target.Description `json:"releases"` // By their paths, all of them there.
	Absent   []string             `json:"absent"`   // Targets that no source had.
	Bytes    int64                `json:"bytes"`    // Of all files.
	Expires  time.Time            `json:"expires"`  // When clients refuse the copy, if it is not renewed.
	Files    []string             `json:"-"`        // Names below the tree, in the order in which they became public.
}

// Sync copies what is new. Whoever reads the tree meanwhile sees what was there
// before or what is there after: targets come first, then metadata, those that
// vouch for others after them, the timestamp last. Each file appears whole and
// durable. What is no longer listed is removed one Sync later, or, of targets, at once
// if new ones have no room otherwise. After an error the same call goes on where it was.
func (m Mirror) Sync(ctx context.Context) (*Copied, error) {
	if m.write == nil {
		m.write = put
	}
	if err := makeDir(m.State); err != nil {
		return nil, err
	}
	unlock, err := lock(m.State)
	if err != nil {
		return nil, err
	}
	defer unlock()
	client, err := tufclient.Open(tufclient.Config{
		Repositories: []tufclient.Repository{m.Repository}, Dir: m.State,
		Clock: m.Clock, Built: m.Built, Limits: m.Limits, Room: m.Room, Progress: m.Progress,
		Damaged: m.Damaged,
	})
	if err != nil {
		return nil, err
	}
	view, err := client.Check(ctx)
	if err != nil {
		return nil, err
	}
	c := &Copied{Releases: []target.Description{}, Absent: []string{}}
	if !m.Bare {
		if err := m.targets(ctx, client, view, c); err != nil {
			return nil, err
		}
	}
	files, err := view.Metadata(ctx, tufclient.Dir(m.Dir))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := m.publish(f); err != nil {
			return nil, err
		}
		c.Files = append(c.Files, f.Name)
		c.Bytes += int64(len(f.Data))
	}
	status, err := client.Status()
	if err != nil {
		return nil, err
	}
	c.Expires = status[0].Expires
	return c, m.prune(c.Files)
}

// publish writes metadata, if they are not there.
func (m Mirror) publish(f tufclient.MetadataFile) error {
	path := filepath.Join(m.Dir, filepath.FromSlash(f.Name))
	if old, err := read(path, int64(len(f.Data))); err == nil && bytes.Equal(old, f.Data) {
		return nil
	}
	return m.write(path, bytes.NewReader(f.Data), 0o644)
}

// targets copies the targets.
func (m Mirror) targets(ctx context.Context, client *tufclient.Client, view *tufclient.View, c *Copied) error {
	all, err := view.All(ctx)
	if err != nil {
		return err
	}
	chosen := m.choose(all)
	for _, t := range chosen {
		if !publicName(t.Name()) {
			return fmt.Errorf("%s cannot be the name of a file in a mirror: %w", t.Name(), ErrFormat)
		}
		path := filepath.Join(m.Dir, filepath.FromSlash(t.Name()))
		if err := makeDir(filepath.Dir(path)); err != nil {
			return err
		}
		err := client.Save(ctx, t, path, 0o644)
		if errors.Is(err, tufclient.ErrSpace) {
			made, failed := m.makeRoom(t, chosen)
			if err = errors.Join(err, failed); made && failed == nil {
				err = client.Save(ctx, t, path, 0o644)
			}
		}
		if m.Partial && errors.Is(err, fs.ErrNotExist) {
			c.Absent = append(c.Absent, t.Path)
			continue
		}
		if err != nil {
			return err
		}
		c.Files = append(c.Files, t.Name())
		c.Bytes += t.Length
		if d, err := target.ParsePath(t.Path); err == nil {
			c.Releases = append(c.Releases, d)
		}
	}
	return nil
}

// choose returns the targets that the mirror copies: the newest releases of each
// program, what lies beside them, deltas that lead to them, and small files of other
// kinds, as the plan.
func (m Mirror) choose(all []*tufclient.Target) (chosen []*tufclient.Target) {
	byProgram := map[string][]string{} // Versions.
	for _, t := range all {
		if d, err := target.ParsePath(t.Path); err == nil && (m.Want == nil || m.Want(d)) {
			program := programOf(d)
			byProgram[program] = append(byProgram[program], d.Version)
		}
	}
	dirs, sums := map[string]bool{}, map[[sha256.Size]byte]bool{}
	for _, t := range all {
		d, err := target.ParsePath(t.Path)
		if err == nil && (m.Want == nil || m.Want(d)) && (m.newest(byProgram[programOf(d)], d.Version) || slices.Contains(m.Pin, t.Path)) {
			dirs[path.Dir(t.Path)], sums[t.SHA256] = true, true
		}
	}
	for _, t := range all {
		kind, _, _ := strings.Cut(t.Path, "/")
		_, to, err := target.ParseDeltaPath(t.Path)
		wanted := t.Length <= maxSmall
		switch {
		case err == nil:
			wanted = sums[to]
		case kind == string(target.Node), kind == string(target.Client):
			wanted = dirs[path.Dir(t.Path)]
		}
		if wanted {
			chosen = append(chosen, t)
		}
	}
	return chosen
}

// newest reports whether a version is one of those that are kept.
func (m Mirror) newest(versions []string, version string) bool {
	newer := 0
	for _, v := range versions {
		if target.Compare(v, version) > 0 {
			newer++
		}
	}
	return m.Keep == 0 || newer < m.Keep
}

// programOf names the program of a release, for one kind of machine.
func programOf(d target.Description) string { return path.Dir(path.Dir(d.Path())) }
