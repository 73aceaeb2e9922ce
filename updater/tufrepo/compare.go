package tufrepo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"leap.example/updater/target"
)

// A Comparison is how a build of one's own is beside the files of an event.
type Comparison struct {
	Same   []string `json:"same"`   // Byte for byte.
	Signed []string `json:"signed"` // But for the signature for Secure Boot, which only one can make.
	Made   []string `json:"made"`   // Made of those, and made again.
	Differ []string `json:"differ"`
	Absent []string `json:"absent"` // Not built.
	// Unproved are deltas that could not be made again, as a release is not there
	// from which they lead. They do no harm: clients check what comes out.
	Unproved []string `json:"unproved"`
	// Undescribed are releases beside which nothing was built that describes them: what
	// the event says of them nobody can prove.
	Undescribed []string `json:"undescribed"`
	// Vendors are the releases that have a root of this repository inside, by which they
	// take the next ones: its version. Zero: they have none, and whoever keeps a
	// machine says whom it believes.
	Vendors map[string]int `json:"vendors"`
}

// Manifest is what the description of a release is called, in its directory.
const Manifest = "manifest.json"

// A Build is what a signer has built himself.
type Build struct {
	Dir string // Its files are at the paths of the targets.
	Old string // A directory with releases before it, whatever they are called; empty: Dir.
	// Strip takes the signature for Secure Boot from an image.
	Strip func([]byte) ([]byte, error)
}

// A comparing is a comparison on its way.
type comparing struct {
	Build
	ctx      context.Context
	event    *Event
	progress Progress
	old      map[string]string // Files in Old, by SHA-256.
}

// Compare compares a build with the files of the event. What counts is what the new
// metadata vouch for: the files that came with the event are used only if they are
// that. They are needed for an image that is signed for Secure Boot. Packed releases
// and deltas are made again.
func (e *Event) Compare(ctx context.Context, b Build, progress Progress) (Comparison, error) {
	if b.Old == "" {
		b.Old = b.Dir
	}
	c := &comparing{Build: b, ctx: ctx, event: e, progress: progress}
	out := Comparison{[]string{}, []string{}, []string{}, []string{}, []string{}, []string{}, []string{}, map[string]int{}}
	for _, f := range e.Files {
		list, err := c.file(&out, f)
		if err != nil {
			return out, err
		}
		*list = append(*list, f.Path)
		if _, err := target.ParsePath(f.Path); err != nil {
			continue
		}
		switch same, err := c.described(f.Path); {
		case errors.Is(err, fs.ErrNotExist):
			out.Undescribed = append(out.Undescribed, f.Path)
		case err != nil:
			return out, err
		case !same:
			out.Differ = append(out.Differ, f.Path+" (what it says of itself)")
		}
		if root, known := e.vendor(f.Path); known {
			out.Vendors[f.Path] = root
		} else {
			out.Differ = append(out.Differ, f.Path+" (it takes the next releases of another repository)")
		}
	}
	return out, nil
}

// file says in which list a file of the event belongs.
func (c *comparing) file(out *Comparison, f File) (*[]string, error) {
	_, err := load(c.ctx, filepath.Join(c.Dir, filepath.FromSlash(f.Path)), f, c.progress)
	switch {
	case err == nil:
		return &out.Same, nil
	case errors.Is(err, ErrAltered):
		if d, err := target.ParsePath(f.Path); err == nil && d.Variant == target.Node {
			return c.signed(out, f)
		}
		return &out.Differ, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if of, ok := strings.CutSuffix(f.Path, target.PackedPath("")); ok {
		return c.packed(out, f, of)
	}
	if from, to, err := target.ParseDeltaPath(f.Path); err == nil {
		return c.delta(out, f, hex.EncodeToString(from[:]), hex.EncodeToString(to[:]))
	}
	return &out.Absent, nil
}

// signed compares an image that differs from one's own without its signature.
func (c *comparing) signed(out *Comparison, f File) (*[]string, error) {
	theirs, err := c.content(f)
	if errors.Is(err, fs.ErrNotExist) {
		return &out.Differ, nil // Nobody can tell.
	}
	if err != nil {
		return nil, err
	}
	ours, err := os.ReadFile(filepath.Join(c.Dir, filepath.FromSlash(f.Path)))
	if err != nil {
		return nil, err
	}
	a, err1 := c.Strip(theirs)
	b, err2 := c.Strip(ours)
	if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
		return &out.Differ, nil
	}
	return &out.Signed, nil
}

// content reads a file that came with the event, or one's own that is the same.
func (c *comparing) content(f File) ([]byte, error) {
	name := filepath.FromSlash(f.Path)
	data, err := load(c.ctx, filepath.Join(c.event.Dir, "content", name), f, c.progress)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = load(c.ctx, filepath.Join(c.Dir, name), f, c.progress)
		if errors.Is(err, ErrAltered) {
			err = fmt.Errorf("%w, and what was built is another file: %w", err, fs.ErrNotExist)
		}
	}
	return data, err
}

// packed packs a release again.
func (c *comparing) packed(out *Comparison, f File, of string) (*[]string, error) {
	for _, full := range c.event.Files {
		if full.Path != of {
			continue
		}
		data, err := c.content(full)
		if errors.Is(err, fs.ErrNotExist) {
			return &out.Absent, nil
		}
		if err != nil {
			return nil, err
		}
		p, err := pack(of, data)
		return verdict(out, f, p, err)
	}
	return &out.Absent, nil
}

// delta makes a delta again.
func (c *comparing) delta(out *Comparison, f File, from, to string) (*[]string, error) {
	for _, full := range c.event.Files {
		if full.SHA256 != to {
			continue
		}
		fresh, err := c.content(full)
		if errors.Is(err, fs.ErrNotExist) {
			return &out.Absent, nil
		}
		if err != nil {
			return nil, err
		}
		if c.old == nil {
			if err := c.releases(); err != nil {
				return nil, err
			}
		}
		path, ok := c.old[from]
		if !ok {
			return &out.Unproved, nil
		}
		old, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		p, err := diff(c.ctx, path, old, fresh, c.progress)
		return verdict(out, f, p, err)
	}
	return &out.Differ, nil // It leads to nothing of the event's.
}

// verdict compares what was made again.
func verdict(out *Comparison, f File, p product, err error) (*[]string, error) {
	sum := sha256.Sum256(p.data)
	switch {
	case err != nil:
		return nil, err
	case p.path == f.Path && hex.EncodeToString(sum[:]) == f.SHA256:
		return &out.Made, nil
	}
	return &out.Differ, nil
}

// releases hashes the files among which the releases before are.
func (c *comparing) releases() error {
	c.old = map[string]string{}
	return filepath.WalkDir(c.Old, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := load(c.ctx, file, File{Path: file}, c.progress)
		sum := sha256.Sum256(data)
		c.old[hex.EncodeToString(sum[:])] = file
		return err
	})
}

// described reports whether the metadata say of a release what was built says.
func (c *comparing) described(p string) (bool, error) {
	own, err := read(filepath.Join(c.Dir, filepath.FromSlash(path.Join(path.Dir(p), Manifest))), maxSmall)
	if err != nil {
		return false, err
	}
	for _, s := range c.event.next {
		if s.targets == nil || s.targets.Signed.Targets[p] == nil {
			continue
		}
		custom := s.targets.Signed.Targets[p].Custom
		return custom != nil && sameJSON(own, *custom), nil
	}
	return false, nil
}

func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	one, err1 := json.Marshal(x)
	other, err2 := json.Marshal(y)
	return err1 == nil && err2 == nil && bytes.Equal(one, other)
}
