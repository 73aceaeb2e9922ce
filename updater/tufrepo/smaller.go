package tufrepo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"leap.example/updater/delta"
	"leap.example/updater/target"
)

// Deltas is from how many releases before it a release has deltas.
const Deltas = 5

// worth is how many times smaller than the packed file a delta has to be.
const worth = 2

// Smaller makes the files by which the full releases among additions can travel,
// writes them below dir, and returns them as additions, too: each release packed,
// and deltas from the newest public ones before it, at most so many, that can be
// updated to it. What saves nothing is left out. The same releases give the same
// files, so that each signer can make them himself: [Event.Compare].
func (r *Repo) Smaller(ctx context.Context, add []Addition, deltas int, dir string, progress Progress) ([]Addition, error) {
	st, err := loadState(r.Public())
	if err != nil {
		return nil, err
	}
	var all []Addition
	for _, a := range add {
		to, err := target.ParsePath(a.Path)
		if err != nil {
			continue
		}
		if d, err := target.Parse(a.Custom); err == nil {
			to = d // It says from where one may come.
		}
		fresh, err := load(ctx, a.File, File{Path: a.Path}, progress)
		if err != nil {
			return nil, err
		}
		packed, err := pack(a.Path, fresh)
		if err != nil {
			return nil, err
		}
		made := []product{packed}
		for _, from := range before(st, to, deltas) {
			old, err := load(ctx, filepath.Join(r.Public(), filepath.FromSlash(publicFile(from.Path, from.SHA256))), from, progress)
			if err != nil {
				return nil, err
			}
			d, err := diff(ctx, from.Path, old, fresh, progress)
			if err != nil {
				return nil, err
			}
			if len(d.data)*worth < min(len(packed.data), len(fresh)) {
				made = append(made, d)
			}
		}
		for _, p := range made {
			if len(p.data) >= len(fresh) {
				continue
			}
			file := filepath.Join(dir, filepath.FromSlash(p.path))
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return nil, err
			}
			if err := os.WriteFile(file, p.data, 0o644); err != nil {
				return nil, err
			}
			all = append(all, Addition{Path: p.path, File: file})
		}
	}
	return all, nil
}

// A product is a file that was made of others.
type product struct {
	path string
	data []byte
}

func pack(path string, data []byte) (product, error) {
	var b bytes.Buffer
	err := delta.Pack(&b, bytes.NewReader(data))
	return product{target.PackedPath(path), b.Bytes()}, err
}

// diff makes a delta; name is what progress is told of it.
func diff(ctx context.Context, name string, old, fresh []byte, progress Progress) (product, error) {
	var b bytes.Buffer
	err := delta.Build(ctx, &b, old, fresh, func(done, total int64) {
		if progress != nil {
			progress("delta from "+name, done, total)
		}
	})
	return product{target.DeltaPath(sha256.Sum256(old), sha256.Sum256(fresh)), b.Bytes()}, err
}

// load reads a file, which must be the one that is wanted, if its hash is named.
func load(ctx context.Context, path string, want File, progress Progress) ([]byte, error) {
	m, file, err := open(ctx, path, want.Path, progress)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if want.SHA256 != "" {
		m.want = &want
	}
	if m.total > delta.MaxFile {
		return nil, fmt.Errorf("%s: %w", path, delta.ErrTooLarge)
	}
	return io.ReadAll(m)
}

// before are the public releases from which one can be updated to another, the
// newest first.
func before(st *state, to target.Description, most int) (all []File) {
	if st == nil {
		return nil
	}
	version := map[string]string{}
	for _, s := range st.roles {
		for _, p := range targetsOf(s) {
			d, err := target.ParsePath(p)
			if err != nil || d.Variant != to.Variant || d.OS != to.OS || d.Arch != to.Arch || target.Compare(d.Version, to.Version) >= 0 || to.From != "" && target.Compare(d.Version, to.From) < 0 {
				continue
			}
			version[p] = d.Version
			all = append(all, fileOf(p, s.targets.Signed.Targets[p]))
		}
	}
	slices.SortFunc(all, func(a, b File) int { return target.Compare(version[b.Path], version[a.Path]) })
	return all[:min(len(all), most)]
}

// Targets are what is public, sorted by path.
func (r *Repo) Targets() ([]File, error) {
	st, err := loadState(r.Public())
	if err != nil || st == nil {
		return nil, err
	}
	var all []File
	for _, s := range st.roles {
		for _, p := range targetsOf(s) {
			all = append(all, fileOf(p, s.targets.Signed.Targets[p]))
		}
	}
	slices.SortFunc(all, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

// Companions are the public files that are worth nothing without releases that are
// removed: these packed, and deltas from and to them.
func (r *Repo) Companions(paths []string) ([]string, error) {
	public, err := r.Targets()
	if err != nil {
		return nil, err
	}
	gone, packed := map[string]bool{}, map[string]bool{}
	for _, f := range public {
		if _, err := target.ParsePath(f.Path); err == nil && slices.Contains(paths, f.Path) {
			gone[f.SHA256], packed[target.PackedPath(f.Path)] = true, true
		}
	}
	var all []string
	for _, f := range public {
		from, to, err := target.ParseDeltaPath(f.Path)
		lost := err == nil && (gone[hex.EncodeToString(from[:])] || gone[hex.EncodeToString(to[:])])
		if (lost || packed[f.Path]) && !slices.Contains(paths, f.Path) {
			all = append(all, f.Path)
		}
	}
	return all, nil
}
