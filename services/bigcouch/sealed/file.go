package sealed

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A file is one that is open, for reading or, once created, for appending.
type file struct {
	base   vfs.File
	keys   *Keys
	name   string
	stream atomic.Pointer[keystream] // Nil until a header was read or written.
	pos    int64                     // Of Read, in the text.
	w      *writer                   // Nil if the file is open for reading.
}

// closing closes f after err.
func closing(f vfs.File, err error) error { return errors.Join(err, f.Close()) }

// keystream returns that of the file, or nil if it is empty. It looks each
// time until there is one: another may be writing.
func (f *file) keystream() (*keystream, error) {
	if s := f.stream.Load(); s != nil || f.w != nil {
		return s, nil
	}
	var b [headerSize + 1]byte
	n, err := f.base.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if torn(b[:n]) {
		return nil, nil
	}
	h, err := parseHeader(b[:n])
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: f.name, Err: err}
	}
	s, err := f.keys.open(h)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: f.name, Err: err}
	}
	f.stream.Store(s)
	return s, nil
}

// Read implements vfs.File.
func (f *file) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.pos)
	f.pos += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// ReadAt implements vfs.File.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, &os.PathError{Op: "read", Path: f.name, Err: os.ErrInvalid}
	}
	if len(p) == 0 {
		return 0, nil
	}
	s, err := f.keystream()
	if err != nil {
		return 0, err
	}
	if s == nil {
		return 0, io.EOF
	}
	n, err := f.base.ReadAt(p, off+headerSize)
	if n > 0 {
		s.at(off).XORKeyStream(p[:n], p[:n])
	}
	return n, err
}

// Write implements vfs.File. It leaves p as it is.
func (f *file) Write(p []byte) (int, error) {
	if f.w == nil {
		return 0, &os.PathError{Op: "write", Path: f.name, Err: os.ErrPermission}
	}
	n, err := f.w.write(f, p)
	f.pos += int64(n)
	return n, err
}

// WriteAt refuses, as OpenReadWrite does.
func (f *file) WriteAt([]byte, int64) (int, error) {
	return 0, &os.PathError{Op: "write", Path: f.name, Err: fmt.Errorf("%w: %w", errAppendOnly, vfs.ErrUnsupported)}
}

// Preallocate implements vfs.File.
func (f *file) Preallocate(offset, length int64) error {
	return f.base.Preallocate(offset+headerSize, length)
}

// Stat implements vfs.File.
func (f *file) Stat() (vfs.FileInfo, error) { return withoutHeader(f.base.Stat()) }

// Sync implements vfs.File.
func (f *file) Sync() error { return f.base.Sync() }

// SyncData implements vfs.File.
func (f *file) SyncData() error { return f.base.SyncData() }

// SyncTo implements vfs.File.
func (f *file) SyncTo(length int64) (fullSync bool, err error) {
	return f.base.SyncTo(length + headerSize)
}

// Prefetch implements vfs.File.
func (f *file) Prefetch(offset, length int64) error {
	return f.base.Prefetch(offset+headerSize, length)
}

// Fd returns vfs.InvalidFd: who had the descriptor would read and write past
// the encryption.
func (f *file) Fd() uintptr { return vfs.InvalidFd }

// Close implements vfs.File.
func (f *file) Close() error { return f.base.Close() }

// A writer is the state of a file that is being written.
type writer struct {
	mu      sync.Mutex // Guards all.
	header  []byte     // What of it is not yet written.
	durable bool       // The header is on disk.
	failed  error      // It cannot be known whether it is.
	next    *keystream
	at      int64         // Where the next byte of the text goes.
	cipher  cipher.Stream // Stands at that place. Nil: to be made.
}

// newWriter returns a created file. Its header is written with its first text,
// so that files which stay empty are empty below too.
func newWriter(base vfs.File, keys *Keys, name string) *file {
	h, s := newHeader(keys.current)
	return &file{base: base, keys: keys, name: name, w: &writer{header: h.encode(), next: s}}
}

// begin brings the header to the disk.
func (w *writer) begin(f *file) error {
	if w.durable || w.failed != nil {
		return w.failed
	}
	for len(w.header) > 0 {
		n, err := f.base.Write(w.header)
		w.header = w.header[n:]
		if err != nil {
			return err
		}
	}
	if w.failed = f.base.SyncData(); w.failed != nil {
		return w.failed
	}
	w.durable = true
	f.stream.Store(w.next)
	return nil
}

// pieces are buffers for encrypted text.
var pieces = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// write appends p.
func (w *writer) write(f *file, p []byte) (done int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if err := w.begin(f); err != nil {
		return 0, err
	}
	buf := pieces.Get().(*[64 << 10]byte)
	defer pieces.Put(buf)
	for done < len(p) {
		piece := buf[:min(len(buf), len(p)-done)]
		if w.cipher == nil {
			w.cipher = w.next.at(w.at)
		}
		w.cipher.XORKeyStream(piece, p[done:done+len(piece)])
		n, err := f.base.Write(piece)
		done += n
		w.at += int64(n)
		if n < len(piece) {
			w.cipher = nil // It stands too far.
		}
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
