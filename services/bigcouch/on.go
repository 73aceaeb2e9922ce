package bigcouch

import (
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// NewOn is New for a store that lies on fs and not on the operating system's
// file system: package bigcouchtest has disks whose power fails.
func NewOn(fs vfs.FS, cfg Config, log *slog.Logger) (*Server, error) {
	s, err := New(cfg, log)
	if err != nil {
		return nil, err
	}
	s.fs = fs
	return s, nil
}
