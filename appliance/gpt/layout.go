package gpt

import "errors"

// Numbers of a node's partitions, as the kernel counts them.
const (
	ESP  = 1 // EFI system partition: boot loader and releases.
	Perm = 4 // All that a node keeps.
)

// Identities of a node's disk and its partitions.
const (
	diskID      GUID = "4C454150-6C65-4170-A000-000000000000"
	ESPID       GUID = "4C454150-6C65-4170-A000-000000000001"
	reserved2ID GUID = "4C454150-6C65-4170-A000-000000000002"
	reserved3ID GUID = "4C454150-6C65-4170-A000-000000000003"
	PermID      GUID = "4C454150-6C65-4170-A000-000000000004"
)

// Types of partitions (UEFI 2.10, table 5.7; the others are Linux's).
const (
	typeESP      GUID = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	typeReserved GUID = "8DA63339-0007-60C0-C436-083AC8230908"
	typeData     GUID = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
)

// Sizes in bytes.
const (
	SectorSize  = 512
	ESPSize     = 512 << 20 // It can never grow, since perm lies behind it: three releases are a third of it.
	LeastPerm   = 200 << 20 // The formatter makes no smaller file system.
	alignment   = 1 << 20
	permStart   = alignment + ESPSize + 2*alignment
	LeastDisk   = permStart + LeastPerm + alignment // Smallest disk of a node.
	sectorAlign = alignment / SectorSize
)

// DiskSize is the size of a disk whose perm has at least so many bytes, a
// multiple of 1 MiB.
func DiskSize(perm int64) int64 { return permStart + perm + alignment }

// Layout is the table of a node's disk with so many bytes.
func Layout(size int64) (Table, error) {
	if size < LeastDisk {
		return Table{}, errors.New("the disk is smaller than that of any node")
	}
	t := Table{ID: diskID}
	at := uint64(sectorAlign)
	for _, p := range []struct {
		kind, id GUID
		name     string
		size     uint64
	}{
		{typeESP, ESPID, "esp", ESPSize},
		{typeReserved, reserved2ID, "reserved2", alignment},
		{typeReserved, reserved3ID, "reserved3", alignment},
		{typeData, PermID, "perm", LeastPerm},
	} {
		t.Partitions = append(t.Partitions, Partition{p.kind, p.id, p.name, at, at + p.size/SectorSize - 1})
		at += p.size / SectorSize
	}
	return t, t.Grow(size)
}

// IsNode reports whether a table is that of a node's disk: the four partitions
// with their identities, in place, and only perm of any size.
func (t Table) IsNode() bool {
	want, err := Layout(LeastDisk)
	if err != nil || t.ID != want.ID || len(t.Partitions) != len(want.Partitions) {
		return false
	}
	for i, p := range t.Partitions {
		if i+1 == Perm && p.Last > want.Partitions[i].Last {
			p.Last = want.Partitions[i].Last
		}
		if p != want.Partitions[i] {
			return false
		}
	}
	return true
}
