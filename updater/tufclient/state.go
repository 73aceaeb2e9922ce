package tufclient

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A state is what is trusted of one repository: metadata by role, as they were
// fetched, and when they were last found to be in force.
type state struct {
	files map[string][]byte
	seen  time.Time
}

func (s state) clone() state { return state{maps.Clone(s.files), s.seen} }

// maxState is how long the file of a state may be, in bytes.
const maxState = 64 << 20

// seenFile is in the tar what no role can be called: its name has no ".json".
const seenFile = "seen"

// encode returns the state as a file. Equal states are equal files.
func (s state) encode() ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	add := func(name string, data []byte) error {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o600})
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
	for _, role := range slices.Sorted(maps.Keys(s.files)) {
		if err := add(url.PathEscape(role)+".json", s.files[role]); err != nil {
			return nil, err
		}
	}
	err := add(seenFile, []byte(s.seen.UTC().Format(time.RFC3339)))
	return out.Bytes(), errors.Join(err, w.Close())
}

// decode reads a file of [state.encode].
func decode(data []byte) (s state, err error) {
	s = state{files: map[string][]byte{}}
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return s, err
		}
		if h.Size > int64(len(data)) {
			return s, fmt.Errorf("%q has more bytes than all", h.Name)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return s, err
		}
		if err := s.add(h.Name, content); err != nil {
			return s, err
		}
	}
	if s.files[metadata.ROOT] == nil {
		return s, errors.New("there is no root in it")
	}
	return s, nil
}

// add takes what a file in the tar says.
func (s *state) add(file string, content []byte) (err error) {
	name, isRole := strings.CutSuffix(file, ".json")
	switch {
	case isRole:
		role, err := url.PathUnescape(name)
		if err != nil {
			return err
		}
		s.files[role] = content
	case file == seenFile:
		s.seen, err = time.Parse(time.RFC3339, string(content))
	default:
		err = fmt.Errorf("there is a file %q in it", file)
	}
	return err
}

// load returns the state on the disk, or the one to begin with: of the root that
// the program was built with and the one that was kept, the newer counts.
func (r *repository) load(dir string) (state, error) {
	built, err := selfSigned(r.Root)
	if err != nil {
		return state{}, fmt.Errorf("the root that the program was built with: %w", err)
	}
	begin := state{files: map[string][]byte{metadata.ROOT: r.Root}}
	s, kept, err := stored(stateFile(dir, r.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return begin, nil
	}
	if errors.Is(err, ErrState) && r.damaged != nil {
		r.damaged(r.Name, err)
		err = nil
		if kept == nil {
			kept, s.files[metadata.ROOT] = built, r.Root
		}
		if t := before[metadata.TimestampType](s, kept, metadata.TIMESTAMP); t != nil && s.seen.After(t.Signed.Expires) {
			s.seen = time.Time{} // It was in force when it was seen.
		}
	}
	if err != nil {
		return state{}, err
	}
	if built.Signed.Version > kept.Signed.Version {
		s.follow(kept, built, r.Root)
	}
	return s, nil
}

// stored reads a file with a state, and its root. If that is [ErrState], it returns what
// of it can be read.
func stored(path string) (s state, root *metadata.Metadata[metadata.RootType], err error) {
	s.files = map[string][]byte{}
	info, err := os.Stat(path)
	if err != nil {
		return s, nil, err
	}
	if info.Size() > maxState {
		return s, nil, fmt.Errorf("%s: %w: it has %d bytes", path, ErrState, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, syscall.EIO) {
			err = fmt.Errorf("%w: %w", ErrState, err)
		}
		return s, nil, err
	}
	whole, err := decode(data)
	if err == nil {
		if root, err = selfSigned(whole.files[metadata.ROOT]); err == nil {
			return whole, root, nil
		}
	}
	s = salvage(data)
	root, lost := selfSigned(s.files[metadata.ROOT])
	if lost != nil {
		root = nil
	}
	return s, root, fmt.Errorf("%s: %w: %w", path, ErrState, err)
}

// selfSigned reads a root that is trusted already.
func selfSigned(data []byte) (*metadata.Metadata[metadata.RootType], error) {
	root, err := parse[metadata.RootType](data)
	if err != nil {
		return nil, err
	}
	return root, byRoot(root, metadata.ROOT, root)
}

// follow replaces the root. Where it replaces the keys of timestamp or snapshot,
// both are forgotten: whoever had the old keys may have signed versions that
// nothing could follow (5.3.11).
func (s state) follow(old, next *metadata.Metadata[metadata.RootType], data []byte) {
	s.files[metadata.ROOT] = data
	for _, role := range []string{metadata.TIMESTAMP, metadata.SNAPSHOT} {
		if !slices.Equal(signers(old, role), signers(next, role)) {
			delete(s.files, metadata.TIMESTAMP)
			delete(s.files, metadata.SNAPSHOT)
		}
	}
}

// signers are the keys of a role, sorted.
func signers(root *metadata.Metadata[metadata.RootType], role string) []string {
	var all []string
	for _, name := range root.Signed.Roles[role].KeyIDs {
		if key := root.Signed.Keys[name]; key != nil {
			all = append(all, key.Value.PublicKey)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// stateFile is the file of what is trusted of a repository.
func stateFile(dir, name string) string { return filepath.Join(dir, name+".trusted") }

// Forget forgets what is trusted of a repository: clients with this directory begin
// with its root again. There may be nothing.
func Forget(dir, name string) error {
	err := os.Remove(stateFile(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return osDisk{}.SyncDir(dir)
}

// keep makes a state durable, if it is another one than before.
func (r *repository) keep(d disk, dir string, s state) error {
	data, err := s.encode()
	if err != nil {
		return err
	}
	if len(data) > maxState {
		return fmt.Errorf("%w: what is trusted of %s has %d bytes", ErrLength, r.Name, len(data))
	}
	path := stateFile(dir, r.Name)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := replace(d, path, data); err != nil {
		return fmt.Errorf("keeping what is trusted of %s: %w", r.Name, full(err))
	}
	return nil
}
