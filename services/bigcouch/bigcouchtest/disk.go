// Package bigcouchtest gives tests a disk for a database node whose power can
// fail: what was not synced by then may be gone, in whole or in part.
package bigcouchtest

import (
	"log/slog"
	"math/rand/v2"

	"github.com/cockroachdb/pebble/v2/vfs"

	"leap.example/services/bigcouch"
)

// A Disk is in memory and remembers what was synced. It may be used from any
// goroutine.
type Disk struct{ fs *vfs.MemFS }

// NewDisk returns an empty disk.
func NewDisk() *Disk { return &Disk{vfs.NewCrashableMem()} }

// PowerCut returns the disk as it is after a power cut at this moment: of what
// was not synced, about so many percent are there, chosen by rng. The disk
// itself stays as it is, and may go on being written to.
func (d *Disk) PowerCut(percent int, rng *rand.Rand) *Disk {
	return &Disk{d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})}
}

// Server returns a database server whose store lies on d.
func (d *Disk) Server(cfg bigcouch.Config, log *slog.Logger) (*bigcouch.Server, error) {
	return bigcouch.NewOn(d.fs, cfg, log)
}
