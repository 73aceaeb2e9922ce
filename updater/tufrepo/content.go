package tufrepo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// fileOf is what metadata say of the content of a target.
func fileOf(path string, t *metadata.TargetFiles) File {
	return File{path, t.Length, hex.EncodeToString(t.Hashes["sha256"])}
}

// A meter hashes and counts what is read through it.
type meter struct {
	ctx      context.Context
	from     io.Reader
	file     string
	sum      hash.Hash
	n, total int64
	progress Progress
	want     *File // At its end the file must have been this. Nil: any.
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.from.Read(p)
	m.sum.Write(p[:n])
	m.n += int64(n)
	if m.progress != nil {
		m.progress(m.file, m.n, m.total)
	}
	if m.want != nil && (m.n > m.want.Length || errors.Is(err, io.EOF) && (m.n != m.want.Length || m.digest() != m.want.SHA256)) {
		return 0, fmt.Errorf("%s is not the file that the metadata vouch for: %w", m.file, ErrAltered)
	}
	return n, err
}

func (m *meter) digest() string { return hex.EncodeToString(m.sum.Sum(nil)) }

// open begins to read a file; the meter is no longer good when it is closed.
func open(ctx context.Context, file, name string, progress Progress) (*meter, io.Closer, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", file)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return &meter{ctx: ctx, from: f, file: name, sum: sha256.New(), total: info.Size(), progress: progress}, f, nil
}

// CheckContent hashes the files that came with the event, and returns the paths of
// those that did not come. An altered one is ErrAltered.
func (e *Event) CheckContent(ctx context.Context, progress Progress) (absent []string, err error) {
	for _, f := range e.Files {
		m, file, err := open(ctx, filepath.Join(e.Dir, "content", filepath.FromSlash(f.Path)), f.Path, progress)
		if errors.Is(err, fs.ErrNotExist) {
			absent = append(absent, f.Path)
			continue
		}
		if err != nil {
			return nil, err
		}
		m.want = &f
		_, err = io.Copy(io.Discard, m)
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, fmt.Errorf("content: %w", err)
		}
	}
	return absent, nil
}
