package gpt

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf16"
)

const (
	signature   = "EFI PART"
	revision    = 0x00010000
	headerSize  = 92
	entrySize   = 128
	entries     = 128
	arraySize   = entries * entrySize / SectorSize // Sectors.
	nameSize    = 36                               // Units of UTF-16.
	firstUsable = 2 + arraySize
)

// A GUID is an identity in its written form, upper case.
type GUID string

// A Partition is an entry of a table. Sectors are counted from 0, both ends
// belong to it.
type Partition struct {
	Type, ID    GUID
	Name        string
	First, Last uint64
}

// Start is the offset of its first byte on the disk.
func (p Partition) Start() int64 { return int64(p.First) * SectorSize }

// Size is its size in bytes.
func (p Partition) Size() int64 { return int64(p.Last-p.First+1) * SectorSize }

// A Table is what a partition table says. Partition number n is the element
// n-1.
type Table struct {
	ID         GUID
	Partitions []Partition
	sectors    uint64 // Of the disk.
}

// header is the table's header (UEFI 2.10, table 5.5).
type header struct {
	Signature         [8]byte
	Revision, Size    uint32
	Sum, Zero         uint32
	This, Other       uint64
	First, Last       uint64
	ID                [16]byte
	Array             uint64
	Entries, EntrySiz uint32
	ArraySum          uint32
}

// entry is a partition's entry (UEFI 2.10, table 5.6).
type entry struct {
	Type, ID    [16]byte
	First, Last uint64
	Attributes  uint64
	Name        [nameSize]uint16
}

// Grow makes t the table of a disk with so many bytes: its last partition ends
// at the last whole MiB of the usable part, unless it ends behind that already.
// It is an error when the partitions do not fit.
func (t *Table) Grow(size int64) error {
	t.sectors = uint64(max(size, 0)) / SectorSize
	last := &t.Partitions[len(t.Partitions)-1]
	if t.sectors < 2*firstUsable || t.usable() < last.Last {
		return errors.New("the disk is too small for its partitions")
	}
	if end := (t.usable() + 1) / sectorAlign * sectorAlign; end > last.Last+1 {
		last.Last = end - 1
	}
	return nil
}

// usable is the last sector that partitions may have.
func (t *Table) usable() uint64 { return t.sectors - arraySize - 2 }

// Write writes both copies, the second one first, and the protective MBR. The
// disk has the size that was given to [Layout] or [Table.Grow].
func (t *Table) Write(disk interface {
	io.WriterAt
	Sync() error
},
) error {
	array, err := t.array()
	if err != nil {
		return err
	}
	end := t.sectors - 1
	second, err := t.header(array, end, 1, end-arraySize)
	if err != nil {
		return err
	}
	first, err := t.header(array, 1, end, 2)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		sector uint64
		data   []byte
	}{{end - arraySize, array}, {end, second}, {2, array}, {1, first}, {0, protectiveMBR(t.sectors)}} {
		if _, err := disk.WriteAt(part.data, int64(part.sector)*SectorSize); err != nil {
			return fmt.Errorf("writing the partition table: %w", err)
		}
		if part.sector == end {
			if err := disk.Sync(); err != nil {
				return fmt.Errorf("writing the partition table: %w", err)
			}
		}
	}
	if err := disk.Sync(); err != nil {
		return fmt.Errorf("writing the partition table: %w", err)
	}
	return nil
}

func (t *Table) array() ([]byte, error) {
	var out bytes.Buffer
	for _, p := range t.Partitions {
		e := entry{First: p.First, Last: p.Last}
		copy(e.Name[:nameSize-1], utf16.Encode([]rune(p.Name)))
		var errs [2]error
		e.Type, errs[0] = p.Type.bytes()
		e.ID, errs[1] = p.ID.bytes()
		if err := errors.Join(errs[:]...); err != nil {
			return nil, err
		}
		if err := binary.Write(&out, binary.LittleEndian, e); err != nil {
			return nil, err
		}
	}
	return append(out.Bytes(), make([]byte, arraySize*SectorSize-out.Len())...), nil
}

func (t *Table) header(array []byte, this, other, at uint64) ([]byte, error) {
	h := header{
		Revision: revision, Size: headerSize, This: this, Other: other,
		First: firstUsable, Last: t.usable(), Array: at, Entries: entries, EntrySiz: entrySize,
		ArraySum: crc32.ChecksumIEEE(array),
	}
	copy(h.Signature[:], signature)
	var err error
	if h.ID, err = t.ID.bytes(); err != nil {
		return nil, err
	}
	sector := make([]byte, SectorSize)
	if _, err := binary.Encode(sector, binary.LittleEndian, h); err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint32(sector[16:], crc32.ChecksumIEEE(sector[:headerSize]))
	return sector, nil
}

// protectiveMBR tells old programs that the disk is in use (UEFI 2.10, 5.2.3).
func protectiveMBR(sectors uint64) []byte {
	mbr := make([]byte, SectorSize)
	p := mbr[446:]
	copy(p, []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff})
	binary.LittleEndian.PutUint32(p[8:], 1)
	binary.LittleEndian.PutUint32(p[12:], uint32(min(sectors-1, 0xffffffff)))
	mbr[510], mbr[511] = 0x55, 0xaa
	return mbr
}

// bytes is the form on the disk, of which the first three groups are in the
// machine's order (UEFI 2.10, appendix A).
func (g GUID) bytes() (b [16]byte, err error) {
	raw, err := hex.DecodeString(strings.ReplaceAll(string(g), "-", ""))
	if err != nil || len(raw) != 16 {
		return b, fmt.Errorf("%q is not a GUID", string(g))
	}
	return swap([16]byte(raw)), nil
}

func guid(b [16]byte) GUID {
	b = swap(b)
	return GUID(strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])))
}

func swap(b [16]byte) [16]byte {
	b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	b[4], b[5] = b[5], b[4]
	b[6], b[7] = b[7], b[6]
	return b
}
