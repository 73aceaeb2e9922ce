package gpt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
)

// ErrNone is that a disk has no table that can be used.
var ErrNone = errors.New("no whole partition table on the disk")

// Read returns the table of a disk with so many bytes: the copy at its
// beginning, or if that is damaged the one at its end. The error wraps
// [ErrNone], or is that of reading.
func Read(disk io.ReaderAt, size int64) (Table, error) {
	sectors := uint64(max(size, 0)) / SectorSize
	if sectors < 2*firstUsable {
		return Table{}, fmt.Errorf("%w: it has %d bytes", ErrNone, size)
	}
	var errs []error
	for _, at := range []uint64{1, sectors - 1} {
		t, err := read(disk, sectors, at)
		if err == nil {
			return t, nil
		}
		errs = append(errs, fmt.Errorf("sector %d: %w", at, err))
	}
	return Table{}, errors.Join(errs...)
}

// read reads the copy whose header is in the sector at.
func read(disk io.ReaderAt, sectors, at uint64) (Table, error) {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrNone, what) }
	sector := make([]byte, SectorSize)
	if _, err := disk.ReadAt(sector, int64(at)*SectorSize); err != nil {
		return Table{}, fmt.Errorf("reading the partition table: %w", err)
	}
	var h header
	if _, err := binary.Decode(sector, binary.LittleEndian, &h); err != nil {
		return Table{}, err
	}
	if string(h.Signature[:]) != signature || h.Size != headerSize || h.Revision != revision {
		return Table{}, bad("no header")
	}
	clear(sector[16:20])
	if crc32.ChecksumIEEE(sector[:headerSize]) != h.Sum || h.This != at {
		return Table{}, bad("the header is damaged")
	}
	if h.Entries != entries || h.EntrySiz != entrySize || h.Array >= sectors-arraySize {
		return Table{}, bad("its shape is unknown")
	}
	if h.First < firstUsable || h.Last > sectors-arraySize-2 {
		return Table{}, bad("it is of a larger disk")
	}
	array := make([]byte, arraySize*SectorSize)
	if _, err := disk.ReadAt(array, int64(h.Array)*SectorSize); err != nil {
		return Table{}, fmt.Errorf("reading the partition table: %w", err)
	}
	if crc32.ChecksumIEEE(array) != h.ArraySum {
		return Table{}, bad("the entries are damaged")
	}
	t := Table{ID: guid(h.ID), sectors: sectors}
	for ; len(array) > 0; array = array[entrySize:] {
		var e entry
		if _, err := binary.Decode(array, binary.LittleEndian, &e); err != nil {
			return Table{}, err
		}
		p := Partition{Type: guid(e.Type), ID: guid(e.ID), First: e.First, Last: e.Last}
		name := e.Name[:nameSize-1]
		if i := slices.Index(name, 0); i >= 0 {
			name = name[:i]
		}
		p.Name = strings.ToValidUTF8(string(utf16.Decode(name)), "?")
		if e.Type != [16]byte{} && (e.First < h.First || e.Last > h.Last || e.Last < e.First) {
			return Table{}, bad("a partition is out of bounds")
		}
		if e.Type == [16]byte{} {
			p = Partition{}
		}
		t.Partitions = append(t.Partitions, p)
	}
	for len(t.Partitions) > 0 && t.Partitions[len(t.Partitions)-1] == (Partition{}) {
		t.Partitions = t.Partitions[:len(t.Partitions)-1]
	}
	if len(t.Partitions) == 0 {
		return Table{}, bad("it is empty")
	}
	return t, t.checkOverlap()
}

func (t *Table) checkOverlap() error {
	sorted := slices.Clone(t.Partitions)
	slices.SortFunc(sorted, func(a, b Partition) int {
		if a.First < b.First {
			return -1
		}
		return 1
	})
	var end uint64
	for _, p := range sorted {
		if p.Type == "" {
			continue
		}
		if p.First <= end {
			return fmt.Errorf("%w: partitions overlap", ErrNone)
		}
		end = p.Last
	}
	return nil
}
