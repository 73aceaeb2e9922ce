package bigcouchtest

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"leap.example/services/bigcouch"
)

// NewSlow returns a database server on the operating system's disk, each sync
// of which takes longer than it would: by what delay says, at that moment.
func NewSlow(cfg bigcouch.Config, log *slog.Logger, delay func() time.Duration) (*bigcouch.Server, error) {
	return bigcouch.NewOn(slowFS{vfs.Default, delay}, cfg, log)
}

type slowFS struct {
	vfs.FS
	delay func() time.Duration
}

// Unwrap implements vfs.FS.
func (s slowFS) Unwrap() vfs.FS { return s.FS }

// Create implements vfs.FS.
func (s slowFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	return s.slow(f, err)
}

// ReuseForWrite implements vfs.FS.
func (s slowFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.ReuseForWrite(old, name, c)
	return s.slow(f, err)
}

// OpenReadWrite implements vfs.FS.
func (s slowFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := s.FS.OpenReadWrite(name, c, o...)
	return s.slow(f, err)
}

// OpenDir implements vfs.FS.
func (s slowFS) OpenDir(name string) (vfs.File, error) {
	f, err := s.FS.OpenDir(name)
	return s.slow(f, err)
}

func (s slowFS) slow(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return slowFile{f, s.delay}, nil
}

type slowFile struct {
	vfs.File
	delay func() time.Duration
}

func (f slowFile) wait() {
	if d := f.delay(); d > 0 {
		<-time.After(d)
	}
}

// Sync implements vfs.File.
func (f slowFile) Sync() error {
	f.wait()
	return f.File.Sync()
}

// SyncData implements vfs.File.
func (f slowFile) SyncData() error {
	f.wait()
	return f.File.SyncData()
}

// SyncTo implements vfs.File.
func (f slowFile) SyncTo(length int64) (bool, error) {
	f.wait()
	return f.File.SyncTo(length)
}
