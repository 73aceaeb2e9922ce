package volume

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"unicode"

	"leap.example/appliance/gpt"
	"leap.example/appliance/node"
)

// Errors of finding a node's disk.
var (
	ErrNoDisk   = errors.New("no disk has the partitions of a node")
	ErrTwoDisks = errors.New("more than one disk has the partitions of a node: detach one")
	ErrESP      = errors.New("the boot partition holds no FAT file system: write the image anew")
)

// A Machine is where block devices are found. The zero value is not useful; a
// node's is [Here].
type Machine struct {
	Sys string // Has an entry for each disk: /sys/block.
	Dev string // Has their device files: /dev.
}

// Here is the machine that we run on.
var Here = Machine{"/sys/block", "/dev"}

// A Disk is the disk that a node starts from.
type Disk struct {
	Path  string
	Table gpt.Table
	size  int64
}

// disks calls f with each disk that can be read, and its size in bytes.
func (m Machine) disks(f func(disk *os.File, size int64) error) error {
	names, err := os.ReadDir(m.Sys)
	if err != nil {
		return err
	}
	for _, name := range names {
		disk, err := os.Open(filepath.Join(m.Dev, name.Name()))
		if err != nil {
			continue // An empty drive, for example.
		}
		size, err := disk.Seek(0, io.SeekEnd)
		if err == nil && size > 0 {
			err = f(disk, size)
		}
		disk.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// Find returns the disk of this node, or [ErrNoDisk] or [ErrTwoDisks]. Disks
// that cannot be read are none.
func (m Machine) Find() (Disk, error) {
	var found []Disk
	err := m.disks(func(disk *os.File, size int64) error {
		if t, err := gpt.Read(disk, size); err == nil && t.IsNode() {
			found = append(found, Disk{disk.Name(), t, size})
		}
		return nil
	})
	switch {
	case err != nil:
		return Disk{}, err
	case len(found) == 0:
		return Disk{}, ErrNoDisk
	case len(found) > 1:
		return Disk{}, fmt.Errorf("%w (%s, %s)", ErrTwoDisks, found[0].Path, found[1].Path)
	}
	return found[0], nil
}

// Partition is the device file of a partition, as the kernel names it.
func (d Disk) Partition(number int) string {
	if unicode.IsDigit(rune(d.Path[len(d.Path)-1])) {
		return d.Path + "p" + strconv.Itoa(number)
	}
	return d.Path + strconv.Itoa(number)
}

// CheckESP reports, with [ErrESP], if what others would read of the boot
// partition's file system makes no sense: gokrazy divides by it.
func (d Disk) CheckESP() error {
	f, err := os.Open(d.Partition(gpt.ESP))
	if err != nil {
		return err
	}
	defer f.Close()
	sector := make([]byte, gpt.SectorSize)
	if _, err := io.ReadFull(f, sector); err != nil {
		return fmt.Errorf("%w (%w)", ErrESP, err)
	}
	// Microsoft, "FAT: General Overview of On-Disk Format" 1.03, pages 9-12.
	bytesPerSector := binary.LittleEndian.Uint16(sector[11:])
	perCluster := sector[13]
	reserved := binary.LittleEndian.Uint16(sector[14:])
	if bytesPerSector != gpt.SectorSize || perCluster == 0 || perCluster&(perCluster-1) != 0 || reserved == 0 ||
		!bytes.Equal(sector[510:512], []byte{0x55, 0xaa}) {
		return ErrESP
	}
	return nil
}

// Identities returns the signed identities on all disks, and what is wrong with
// those that cannot be used. Signatures are not checked.
func (m Machine) Identities() (found []node.Signed, bad []error) {
	err := m.disks(func(disk *os.File, size int64) error {
		text := make([]byte, min(size, node.IdentityDiskSize))
		if n, err := disk.ReadAt(text, 0); n < len(text) {
			bad = append(bad, fmt.Errorf("%s: %w", disk.Name(), err))
			return nil
		}
		s, err := node.ReadIdentityDisk(text)
		if err == nil {
			found = append(found, s)
		} else if !errors.Is(err, node.ErrNoIdentity) {
			bad = append(bad, fmt.Errorf("%s: %w", disk.Name(), err))
		}
		return nil
	})
	if err != nil {
		bad = append(bad, err)
	}
	return found, bad
}
