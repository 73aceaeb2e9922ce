package disk

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Shape of the file system (Microsoft, "FAT: General Overview of On-Disk
// Format", 1.03). Sizes in sectors if not said otherwise.
const (
	sectorSize   = 512
	clusterSize  = 8 * sectorSize // Bytes.
	reserved     = 32
	infoSector   = 1
	backupSector = 6
	rootCluster  = 2
	endOfChain   = 0x0fffffff
	mediaFixed   = 0xf8
	volumeID     = 0x4c454150
	volumeLabel  = "ESP        "
)

// A file of the file system to be written. Directories are made as needed.
type file struct {
	path string
	data []byte
}

// A fat is a file system of 32-bit FAT in the making.
type fat struct {
	sectors    uint32 // Of the file system.
	fatSectors uint32
	table      []uint32
	parts      []part
}

// A part is what is written at an offset.
type part struct {
	at   int64
	data []byte
}

// newFAT lays out a file system of size bytes that begins at the sector start
// of its disk, and returns what to write, as offsets from its beginning. What
// is not written is zero.
func newFAT(size int64, start uint32, files []file) ([]part, error) {
	f := &fat{sectors: uint32(size / sectorSize)}
	// Two tables of 4 bytes for each cluster, in whole clusters.
	const entriesPerCluster = clusterSize / 4
	clusters := f.sectors / (clusterSize / sectorSize)
	f.fatSectors = (clusters + entriesPerCluster - 1) / entriesPerCluster * (clusterSize / sectorSize)
	clusters = (f.sectors - reserved - 2*f.fatSectors) / (clusterSize / sectorSize)
	if clusters < 65525 { // With fewer it is FAT16, whatever its header says.
		return nil, fmt.Errorf("a file system of %d bytes is too small", size)
	}
	f.table = []uint32{0x0fffff00 | mediaFixed, endOfChain}

	root := &entry{directory: true}
	for _, file := range files {
		if err := root.add(strings.Split(file.path, "/"), file.data); err != nil {
			return nil, fmt.Errorf("%s: %w", file.path, err)
		}
	}
	if err := f.place(root, nil); err != nil {
		return nil, err
	}
	used := uint32(len(f.table))
	if used-2 > clusters {
		return nil, fmt.Errorf("%d bytes are too many for the file system", int64(used)*clusterSize)
	}

	table := make([]byte, 0, len(f.table)*4)
	for _, next := range f.table {
		table = binary.LittleEndian.AppendUint32(table, next)
	}
	for i := range int64(2) {
		f.parts = append(f.parts, part{(reserved + i*int64(f.fatSectors)) * sectorSize, table})
	}
	for _, at := range []int64{0, backupSector} {
		f.parts = append(f.parts,
			part{at * sectorSize, f.bootSector(start)},
			part{(at + infoSector) * sectorSize, infoSectorOf(clusters-(used-2), used)})
	}
	slices.SortFunc(f.parts, func(a, b part) int { return int(a.at - b.at) })
	return f.parts, nil
}

// offset is where a cluster begins.
func (f *fat) offset(cluster uint32) int64 {
	return int64(reserved+2*f.fatSectors)*sectorSize + int64(cluster-2)*clusterSize
}

// allocate chains the next clusters for so many bytes and returns the first.
func (f *fat) allocate(size int) uint32 {
	first := uint32(len(f.table))
	n := uint32((size + clusterSize - 1) / clusterSize)
	for i := range n {
		f.table = append(f.table, first+i+1)
	}
	f.table[len(f.table)-1] = endOfChain
	return first
}

// place gives an entry and all below it their clusters and content.
func (f *fat) place(e, parent *entry) error {
	if !e.directory {
		if len(e.data) > 0 { // An empty file has no cluster.
			e.cluster = f.allocate(len(e.data))
			f.parts = append(f.parts, part{f.offset(e.cluster), e.data})
		}
		return nil
	}
	e.cluster = f.allocate(max(len(e.records(parent)), 1))
	for _, child := range e.children {
		if err := f.place(child, e); err != nil {
			return err
		}
	}
	// Once more, now that the children have their clusters.
	f.parts = append(f.parts, part{f.offset(e.cluster), e.records(parent)})
	return nil
}

func (f *fat) bootSector(start uint32) []byte {
	b := make([]byte, sectorSize)
	le := binary.LittleEndian
	copy(b, []byte{0xeb, 0x58, 0x90})
	copy(b[3:], "LEAP    ")
	le.PutUint16(b[11:], sectorSize)
	b[13] = clusterSize / sectorSize
	le.PutUint16(b[14:], reserved)
	b[16] = 2 // Tables.
	b[21] = mediaFixed
	le.PutUint16(b[24:], 63)  // Sectors of a track,
	le.PutUint16(b[26:], 255) // and heads, for those who ask.
	le.PutUint32(b[28:], start)
	le.PutUint32(b[32:], f.sectors)
	le.PutUint32(b[36:], f.fatSectors)
	le.PutUint32(b[44:], rootCluster)
	le.PutUint16(b[48:], infoSector)
	le.PutUint16(b[50:], backupSector)
	b[64] = 0x80 // Drive.
	b[66] = 0x29 // The next three are there.
	le.PutUint32(b[67:], volumeID)
	copy(b[71:], volumeLabel)
	copy(b[82:], "FAT32   ")
	b[510], b[511] = 0x55, 0xaa
	return b
}

// infoSectorOf is the sector that tells how many clusters are free, and from
// which on.
func infoSectorOf(free, next uint32) []byte {
	b := make([]byte, sectorSize)
	le := binary.LittleEndian
	le.PutUint32(b, 0x41615252)
	le.PutUint32(b[484:], 0x61417272)
	le.PutUint32(b[488:], free)
	le.PutUint32(b[492:], next)
	le.PutUint32(b[508:], 0xaa550000)
	return b
}
