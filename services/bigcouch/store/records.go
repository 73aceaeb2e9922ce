package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/bits"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
)

// Pebble takes the first record that it cannot read for the end of its log or
// manifest, where a power cut stopped the writing: of the last log, and of the
// manifest, it silently loses what comes behind a flipped bit. The functions
// here look before it does.

// recordBlock is the size of the blocks that records are cut into.
const recordBlock = 32 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A recordFile is a log or a manifest: chunks, each with a header of checksum,
// length and type, and in a log also the number of the log and how far it was
// known to be on disk.
type recordFile struct {
	data     []byte
	manifest bool
	number   uint32 // That the chunks of a log carry. Others are left of an older file.
}

// errRecord means that a record was on disk once, and is damaged.
var errRecord = errors.New("record damaged")

// checkRecords returns errRecord if a log or the manifest below dir is damaged
// in a way that no power cut explains.
func checkRecords(disk vfs.FS, dir string) error {
	names, err := disk.List(dir)
	if err != nil {
		return err
	}
	manifest, err := atomicfs.ReadMarker(disk, dir, "manifest")
	if err != nil {
		return err
	}
	for _, name := range names {
		f := recordFile{manifest: name == manifest}
		if number, ok := strings.CutSuffix(name, ".log"); ok {
			n, err := strconv.ParseUint(number, 10, 64)
			if err != nil {
				continue // Not a log.
			}
			f.number = uint32(n)
		} else if !f.manifest {
			continue
		}
		if f.data, err = readFile(disk, disk.PathJoin(dir, name)); err != nil {
			return err
		}
		if at, damaged := f.damage(); damaged {
			return fmt.Errorf("%w: %s at %d: checksum mismatch", errRecord, name, at)
		}
	}
	return nil
}

func readFile(disk vfs.FS, name string) ([]byte, error) {
	f, err := disk.Open(name, vfs.SequentialReadsOption)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}

// damage returns where the file is damaged, if it is.
func (f recordFile) damage() (at int, damaged bool) {
	for at < len(f.data) {
		b := f.rest(at)
		if n := f.chunk(b); n > 0 {
			if !f.ours(b) {
				return 0, false
			}
			at += n
			continue
		}
		left := recordBlock - at%recordBlock
		if left >= 7 && (left >= f.maxHeader() || len(bytes.Trim(b, "\x00")) > 0) {
			return at, f.flipped(b) || f.synced(at)
		}
		at += left // Filled up: no header fits in.
	}
	return 0, false
}

// rest returns what follows at in its block.
func (f recordFile) rest(at int) []byte {
	return f.data[at:min(len(f.data), (at/recordBlock+1)*recordBlock)]
}

// header returns the size of the header of a chunk of a type, 0 if there is no
// such type.
func (f recordFile) header(typ byte) int {
	switch {
	case f.manifest && 1 <= typ && typ <= 4:
		return 7
	case !f.manifest && 5 <= typ && typ <= 8:
		return 11
	case !f.manifest && 9 <= typ && typ <= 12:
		return 19
	}
	return 0
}

func (f recordFile) maxHeader() int {
	if f.manifest {
		return 7
	}
	return 19
}

// size returns the size that the chunk at the beginning of b claims, 0 if that
// cannot be.
func (f recordFile) size(b []byte) int {
	if len(b) < 7 || f.header(b[6]) == 0 {
		return 0
	}
	n := f.header(b[6]) + int(binary.LittleEndian.Uint16(b[4:]))
	if n > len(b) {
		return 0
	}
	return n
}

// chunk returns the size of the chunk at the beginning of b, 0 if there is none
// whose checksum matches.
func (f recordFile) chunk(b []byte) int {
	n := f.size(b)
	if n > 0 && binary.LittleEndian.Uint32(b) != masked(crc32.Checksum(b[6:n], castagnoli)) {
		return 0
	}
	return n
}

// masked is how a checksum is stored.
func masked(crc uint32) uint32 { return bits.RotateLeft32(crc, -15) + 0xa282ead8 }

// ours reports whether the chunk at the beginning of b was written to this
// file, and is not left of one that was recycled.
func (f recordFile) ours(b []byte) bool {
	return f.manifest || binary.LittleEndian.Uint32(b[7:]) == f.number
}

// flipped reports whether one flipped bit is all that keeps b from beginning
// with a chunk.
func (f recordFile) flipped(b []byte) bool {
	if len(b) < f.maxHeader() {
		return false
	}
	for bit := range 24 { // In length or type.
		b := append(bytes.Clone(b[:4]), b[4:]...)
		b[4+bit/8] ^= 1 << (bit % 8)
		if f.chunk(b) > 0 && f.ours(b) {
			return true
		}
	}
	n := f.size(b)
	if n == 0 {
		return false
	}
	stored, crc := binary.LittleEndian.Uint32(b), crc32.Checksum(b[6:n], castagnoli)
	if bits.OnesCount32(stored^masked(crc)) == 1 {
		return f.ours(b)
	}
	// What a flipped bit does to a checksum depends on its distance from the
	// end alone.
	differs := bits.RotateLeft32(stored-0xa282ead8, 15) ^ crc
	var effect [8]uint32
	for bit := range effect {
		effect[bit] = castagnoli[1<<bit]
	}
	for at := n - 1; at >= 6; at-- {
		for bit, e := range effect {
			if e == differs {
				b := bytes.Clone(b[:n])
				b[at] ^= 1 << bit
				return f.ours(b)
			}
			effect[bit] = castagnoli[e&0xff] ^ e>>8
		}
	}
	return false
}

// synced reports whether something behind at proves that what is at at was on
// disk once: a manifest goes on when its last record is, and a log says how
// far it is.
func (f recordFile) synced(at int) bool {
	for p := at + 1; p < len(f.data); p++ {
		b := f.rest(p)
		if f.chunk(b) == 0 {
			continue
		}
		switch typ := b[6]; {
		case f.manifest && typ <= 2: // The first of a record.
			return true
		case typ >= 9:
			// The end of a log carries the next number.
			number := binary.LittleEndian.Uint32(b[7:])
			if (number == f.number || number == f.number+1) && binary.LittleEndian.Uint64(b[11:]) > uint64(at) {
				return true
			}
		}
	}
	return false
}
