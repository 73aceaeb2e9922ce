package tufrepo

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"leap.example/updater/tufclient"
)

// A BundleTree is what goes from one tree into a bundle.
type BundleTree struct {
	Name  string // Of letters a to z.
	Dir   string
	Files []string // Names below Dir, in the order of a mirror.
}

// WriteBundle writes trees as one tar: NAME/metadata/…, NAME/targets/…. It is a
// mirror that travels: it verifies itself, and needs no signature of its own.
func WriteBundle(ctx context.Context, w io.Writer, trees []BundleTree, progress Progress) error {
	out := tar.NewWriter(w)
	for _, t := range trees {
		for _, name := range t.Files {
			if err := bundle(ctx, out, t, name, progress); err != nil {
				return err
			}
		}
	}
	return out.Close()
}

func bundle(ctx context.Context, out *tar.Writer, t BundleTree, name string, progress Progress) error {
	m, f, err := open(ctx, filepath.Join(t.Dir, filepath.FromSlash(name)), name, progress)
	if err != nil {
		return err
	}
	defer f.Close()
	err = out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: t.Name + "/" + name, Size: m.total, Mode: 0o644})
	if err == nil {
		_, err = io.Copy(out, m)
	}
	return err
}

// BundleLimits are what a bundle may ask of who reads it.
type BundleLimits struct {
	Bytes int64 // Of all files.
	Files int
}

// DefaultBundle is enough for several releases.
var DefaultBundle = BundleLimits{Bytes: 2 << 30, Files: 4096}

var treeName = regexp.MustCompile(`^[a-z]{1,16}$`)

// ReadBundle unpacks a bundle into a directory, and returns the names of its trees.
// It verifies nothing: the trees are sources for a client, or a Mirror, that does.
// It writes no more than the limits, and refuses, as ErrFormat, whatever is not a
// file of a tree, is twice there, or has holes, before it writes it: a file with holes
// is as long as it likes, in a bundle of some hundred bytes. The caller removes the
// directory, also after an error.
func ReadBundle(ctx context.Context, r io.Reader, dir string, limits BundleLimits) (trees []string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	in, left := tar.NewReader(r), limits
	seen := map[string]bool{}
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			if len(trees) == 0 {
				return nil, fmt.Errorf("the bundle is empty: %w", ErrFormat)
			}
			return trees, nil
		}
		if err != nil {
			return trees, fmt.Errorf("the bundle: %w (%w)", err, ErrFormat)
		}
		if sparse(h) {
			return trees, fmt.Errorf("the bundle has %q with holes in it: make it with \"leap update bundle export\": %w", h.Name, ErrFormat)
		}
		tree, name, _ := strings.Cut(h.Name, "/")
		left.Files--
		left.Bytes -= h.Size
		switch {
		case h.Typeflag != tar.TypeReg || h.Size < 0 || !treeName.MatchString(tree) || !publicName(name) && !logName(name):
			return trees, fmt.Errorf("the bundle has %q, which is no file of a repository: make it with \"leap update bundle export\": %w", h.Name, ErrFormat)
		case seen[h.Name]:
			return trees, fmt.Errorf("the bundle has %q twice: %w", h.Name, ErrFormat)
		case left.Files < 0 || left.Bytes < 0 || tufclient.IsMetadata(name) && h.Size > maxTargets || logName(name) && h.Size > maxLogFile:
			return trees, fmt.Errorf("the bundle has more than %d files or %d bytes, or metadata of more than %d: %w", limits.Files, limits.Bytes, maxTargets, ErrFormat)
		}
		seen[h.Name] = true
		if logName(name) {
			continue // Of a later release, which nothing here can read.
		}
		if !seen[tree] {
			seen[tree] = true
			trees = append(trees, tree)
		}
		if err := unpack(ctx, root, filepath.FromSlash(h.Name), in); err != nil {
			return trees, err
		}
	}
}

// sparse reports whether a file has holes, in one of the forms of GNU that archive/tar
// fills by itself. The old form has a type of its own, which is no TypeReg.
func sparse(h *tar.Header) bool {
	for name := range h.PAXRecords {
		if strings.HasPrefix(name, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// unpack writes one file. Nothing there is durable: it is copied from there.
func unpack(ctx context.Context, root *os.Root, name string, from io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, untilDone{ctx, from})
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the bundle ends in the middle of %s: %w (%w)", name, err, ErrFormat)
	}
	return errors.Join(err, f.Close())
}

// untilDone ends a read when ctx is done.
type untilDone struct {
	ctx  context.Context
	from io.Reader
}

// Read implements io.Reader.
func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.from.Read(p)
}
