package shard_test

import (
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// counting is a file system that counts syncs, and takes its time for each.
type counting struct {
	vfs.FS
	n atomic.Int64
}

func (c *counting) count() int { return int(c.n.Load()) }

func (c *counting) Create(name string, w vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(name, w)
	return &countingFile{f, c}, err
}

func (c *counting) ReuseForWrite(old, name string, w vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.ReuseForWrite(old, name, w)
	return &countingFile{f, c}, err
}

type countingFile struct {
	vfs.File
	c *counting
}

func (f *countingFile) Sync() error {
	f.c.n.Add(1)
	time.Sleep(200 * time.Microsecond) // What a disk takes.
	return f.File.Sync()
}

func (f *countingFile) SyncData() error {
	f.c.n.Add(1)
	time.Sleep(200 * time.Microsecond)
	return f.File.SyncData()
}
