package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble takes a record of its write-ahead log that does not match its checksum
// for the place where a crash cut the log off, unless a later record says that
// it was synced. Of the last records none does, and Pebble 2.1.7 counts in those
// notes only part of what it synced: damage to up to half of a log of large
// records passed for its end, and acknowledged writes were gone without a word.
// So beside each log N.log lies a file N.synced, to which each sync appends how
// long the log is now and the checksum of all of it.
const (
	logSuffix     = ".log"
	witnessSuffix = ".synced"
)

// witnessHead begins a witness. It is as long as a record, and none.
const witnessHead = "leap log witness"

// witnessRecord is the length of a record: the length of the log, its checksum,
// and the checksum of these two.
const witnessRecord = 16

var witnessTable = crc32.MakeTable(crc32.Castagnoli)

// witnessed is a file system that keeps witnesses of write-ahead logs.
type witnessed struct{ vfs.FS }

// Unwrap implements vfs.FS.
func (w witnessed) Unwrap() vfs.FS { return w.FS }

// witnessOf returns the witness of a file, "" if it is no log.
func witnessOf(name string) string {
	if base, ok := strings.CutSuffix(name, logSuffix); ok {
		return base + witnessSuffix
	}
	return ""
}

// Create implements vfs.FS.
func (w witnessed) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.Create(name, category)
	return w.watch(f, name, category, err)
}

// ReuseForWrite implements vfs.FS.
func (w witnessed) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	w.forget(old)
	f, err := w.FS.ReuseForWrite(old, name, category)
	return w.watch(f, name, category, err)
}

// Remove implements vfs.FS.
func (w witnessed) Remove(name string) error {
	err := w.FS.Remove(name)
	if err == nil {
		w.forget(name)
	}
	return err
}

// forget removes the witness of a log, if there is one.
func (w witnessed) forget(name string) {
	if at := witnessOf(name); at != "" {
		_ = w.FS.Remove(at) // One that stays is removed by the next Open.
	}
}

func (w witnessed) watch(f vfs.File, name string, category vfs.DiskWriteCategory, err error) (vfs.File, error) {
	at := witnessOf(name)
	if err != nil || at == "" {
		return f, err
	}
	witness, err := w.FS.Create(at, category)
	if err == nil { // Once: what a file is, its beginning must say whatever a power cut makes of the rest.
		if _, err = witness.Write([]byte(witnessHead)); err == nil {
			err = witness.Sync()
		}
		if err != nil {
			err = errors.Join(err, witness.Close())
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &watchedLog{File: f, witness: witness}, nil
}

// A watchedLog is a log that is being written: by one goroutine, from its
// beginning.
type watchedLog struct {
	vfs.File
	witness vfs.File // Nil once it could not be written.
	length  uint64
	sum     uint32
}

// Write implements vfs.File.
func (l *watchedLog) Write(p []byte) (int, error) {
	sum := crc32.Update(l.sum, witnessTable, p) // Write may change p.
	n, err := l.File.Write(p)
	if err == nil {
		l.length, l.sum = l.length+uint64(n), sum
	}
	return n, err
}

// Sync implements vfs.File.
func (l *watchedLog) Sync() error { return l.testify(l.File.Sync()) }

// SyncData implements vfs.File.
func (l *watchedLog) SyncData() error { return l.testify(l.File.SyncData()) }

// testify notes what has been synced. The note is not synced: after a power cut
// it may be that of an earlier moment, or missing, and proves less. A note that
// cannot be written ends the notes of this log.
func (l *watchedLog) testify(err error) error {
	if err != nil || l.witness == nil {
		return err
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, witnessRecord), l.length)
	b = binary.BigEndian.AppendUint32(b, l.sum)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, witnessTable))
	if _, err := l.witness.Write(b); err != nil {
		_ = l.witness.Close() // It has a whole record, or none, before the broken one.
		l.witness = nil
	}
	return nil
}

// Close implements vfs.File.
func (l *watchedLog) Close() error {
	err := l.File.Close()
	if l.witness != nil {
		err = errors.Join(err, l.witness.Close())
	}
	return err
}

// checkLogs compares the logs in dir with their witnesses. An error that wraps
// errRotten says that a log is not what was synced.
func checkLogs(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		base, ok := strings.CutSuffix(name, witnessSuffix)
		if !ok {
			continue
		}
		if !slices.Contains(names, base+logSuffix) {
			continue // Removed once the store is open.
		}
		if err := checkLog(fs, fs.PathJoin(dir, base+logSuffix), fs.PathJoin(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

var errRotten = errors.New("the log is not what was synced")

func checkLog(fs vfs.FS, log, witness string) error {
	length, sum, err := testimony(fs, witness)
	if err != nil || length == 0 {
		return nil // A power cut may have left anything of it.
	}
	f, err := fs.Open(log, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	h := crc32.New(witnessTable)
	n, err := io.Copy(h, io.LimitReader(f, int64(length)))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if uint64(n) != length || h.Sum32() != sum {
		return fmt.Errorf("%s: %d of %d synced bytes: %w", filepath.Base(log), n, length, errRotten)
	}
	return nil
}

// testimony returns the longest that a witness says: 0 if it says nothing.
func testimony(fs vfs.FS, name string) (length uint64, sum uint32, err error) {
	f, err := fs.Open(name, vfs.SequentialReadsOption)
	if err != nil {
		return 0, 0, err
	}
	data, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, 0, err
	}
	for ; len(data) >= witnessRecord; data = data[witnessRecord:] {
		b := data[:witnessRecord]
		n := binary.BigEndian.Uint64(b)
		if crc32.Checksum(b[:12], witnessTable) == binary.BigEndian.Uint32(b[12:]) && n > length {
			length, sum = n, binary.BigEndian.Uint32(b[8:])
		}
	}
	return length, sum, nil
}
