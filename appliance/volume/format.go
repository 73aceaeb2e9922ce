package volume

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/diskfs/go-diskfs/backend"
	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/ext4"
)

const (
	blankSize  = 1 << 20 // Of zeros at the beginning: nobody has written here.
	markSize   = 512     // ext4 leaves the first 1024 bytes to boot loaders.
	mark       = "LEAP: this partition is being formatted\n"
	superblock = 1024 // Offset.
	magic      = superblock + 0x38

	// In blocks of 4 KiB, a group of them has 128 MiB. 32 KiB for each file:
	// databases have few large ones.
	groupSize   = 128 << 20
	groupInodes = groupSize / (32 << 10)
	leastGroup  = 16 << 20 // A last one that is smaller is left out.

	// Left to root, so that the agent can keep a verdict, and init its logs, when
	// services have filled the rest: some documents with their secrets.
	reserved = (16 << 20) / (4 << 10) // Blocks.
)

// What is on a partition.
type content int

const (
	foreign content = iota // Something.
	blank                  // Nothing, or what we did not finish.
	ext                    // A file system that may be ours.
)

// look says what is on a partition.
func look(part io.ReaderAt) (content, error) {
	text := make([]byte, blankSize)
	if _, err := part.ReadAt(text, 0); err != nil {
		return foreign, fmt.Errorf("reading perm: %w", err)
	}
	switch {
	case bytes.HasPrefix(text, []byte(mark)), bytes.Count(text, []byte{0}) == len(text):
		return blank, nil
	case text[magic] == 0x53 && text[magic+1] == 0xef: // ext4: 0xEF53.
		return ext, nil
	}
	return foreign, nil
}

// format makes a file system on a partition. A power cut at any moment leaves
// the mark, or the whole file system.
func format(part *os.File) error {
	size, err := part.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if rest := size % groupSize; rest < leastGroup {
		size -= rest
	}
	groups := (size + groupSize - 1) / groupSize
	sector := make([]byte, markSize)
	copy(sector, mark)
	if err := writeSync(part, sector); err != nil {
		return err
	}
	fs, err := ext4.Create(behindMark{file.New(part, false), part}, size, 0, markSize, &ext4.Params{
		VolumeName: "perm", SectorsPerBlock: 8,
		// The same for each group, and their table in whole blocks: by a ratio
		// it ends within one, which the kernel takes for damage.
		InodeCount: uint32(groups * groupInodes),
	})
	if err != nil {
		return fmt.Errorf("formatting perm: %w", err)
	}
	_ = fs // Closing it would close the partition.
	if err := errors.Join(reserve(part), part.Sync()); err != nil {
		return fmt.Errorf("formatting perm: %w", err)
	}
	return writeSync(part, make([]byte, markSize))
}

// reserve writes into the superblock how many blocks only root may use. The
// library divides before it multiplies, and comes to none. The copies of the
// superblock are for repairs, and stay as they are.
func reserve(part *os.File) error {
	const (
		size, count, features, checksum = 1024, 0x08, 0x64, 0x3fc // ext4, Documentation/filesystems/ext4/super.rst.
		metadataChecksums               = 0x400
	)
	sb := make([]byte, size)
	if _, err := part.ReadAt(sb, superblock); err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(sb[count:], reserved)
	if binary.LittleEndian.Uint32(sb[features:])&metadataChecksums != 0 {
		sum := crc32.Checksum(sb[:checksum], crc32.MakeTable(crc32.Castagnoli))
		binary.LittleEndian.PutUint32(sb[checksum:], ^sum) // Without the last step of the usual sum.
	}
	_, err := part.WriteAt(sb, superblock)
	return err
}

// erase makes a partition blank.
func erase(part *os.File) error { return writeSync(part, make([]byte, blankSize)) }

func writeSync(part *os.File, data []byte) error {
	_, err := part.WriteAt(data, 0)
	return errors.Join(err, part.Sync())
}

// behindMark is a partition whose first sector cannot be written.
type behindMark struct {
	backend.Storage
	part *os.File
}

func (b behindMark) Writable() (backend.WritableFile, error) { return writer{b.Storage, b.part}, nil }

type writer struct {
	backend.File
	part *os.File
}

// WriteAt implements [io.WriterAt].
func (w writer) WriteAt(p []byte, at int64) (int, error) {
	skip := 0
	if at < markSize {
		skip = int(min(markSize-at, int64(len(p))))
	}
	n, err := w.part.WriteAt(p[skip:], at+int64(skip))
	return n + skip, err
}
