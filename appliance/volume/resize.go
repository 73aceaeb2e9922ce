package volume

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's request to change one partition (linux/blkpg.h).
const (
	blkpg       = 0x1269
	blkpgResize = 3
)

type blkpgPartition struct {
	start, length int64 // Bytes.
	number        int32
	_             [128]byte // Names, not used.
}

type blkpgArg struct {
	op, flags, size int32
	data            *blkpgPartition
}

// resize tells the kernel the size of a partition of a disk that is in use.
func (linux) resize(disk string, number int, start, size int64) error {
	f, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer f.Close()
	p := blkpgPartition{start: start, length: size, number: int32(number)}
	arg := blkpgArg{op: blkpgResize, size: int32(unsafe.Sizeof(p)), data: &p}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), blkpg, uintptr(unsafe.Pointer(&arg))); errno != 0 {
		return errno
	}
	return nil
}
