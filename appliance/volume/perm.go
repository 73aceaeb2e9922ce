package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/appliance/gpt"
)

// Errors of [Disk.Open]. perm is as it was.
var (
	// ErrForeign is that perm holds something that is no file system of ours.
	ErrForeign = errors.New("perm is neither blank nor ours, and was left alone")
	// ErrDamaged is that its file system cannot be mounted.
	ErrDamaged = errors.New("perm cannot be mounted, and was left alone")
)

// flags are what nothing on perm may do.
const flags = unix.MS_NOEXEC | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOATIME

// What mounts and grows, so that tests need no devices.
type kernel interface {
	mount(device, at string) error
	resize(disk string, number int, start, size int64) error
}

type linux struct{}

func (linux) mount(device, at string) error {
	// The formatter has written the tables of files; the kernel need not.
	return unix.Mount(device, at, "ext4", flags, "errors=remount-ro,noinit_itable")
}

// Open mounts perm at a directory. If it is blank, it is made as large as the
// disk allows and formatted before; formatted says so.
func (d Disk) Open(at string) (formatted bool, err error) { return d.open(at, linux{}) }

func (d Disk) open(at string, k kernel) (formatted bool, err error) {
	device := d.Partition(gpt.Perm)
	what, err := func() (content, error) {
		part, err := os.Open(device)
		if err != nil {
			return foreign, err
		}
		defer part.Close()
		return look(part)
	}()
	if err != nil {
		return false, err
	}
	switch what {
	case foreign:
		return false, ErrForeign
	case blank:
		if err := d.grow(k); err != nil {
			return false, err
		}
		if err := withPartition(device, format); err != nil {
			return false, err
		}
	}
	if err := k.mount(device, at); err != nil {
		return false, fmt.Errorf("%w (%w)", ErrDamaged, err)
	}
	// gokrazy would send logs to the host that this directory names.
	if err := os.RemoveAll(filepath.Join(at, "remote_syslog")); err != nil {
		return false, err
	}
	return what == blank, nil
}

// grow makes the entry of perm as large as the disk allows.
func (d Disk) grow(k kernel) error {
	t := d.Table
	t.Partitions = append([]gpt.Partition(nil), t.Partitions...)
	if err := t.Grow(d.size); err != nil {
		return err
	}
	perm := t.Partitions[gpt.Perm-1]
	if perm == d.Table.Partitions[gpt.Perm-1] {
		return nil
	}
	err := withPartition(d.Path, func(disk *os.File) error { return t.Write(disk) })
	if err != nil {
		return err
	}
	if err := k.resize(d.Path, gpt.Perm, perm.Start(), perm.Size()); err != nil {
		return fmt.Errorf("telling the kernel the new size of perm: %w", err)
	}
	return nil
}

// Erase makes perm blank, so that [Disk.Open] formats it. What is on it is
// lost. It must not be mounted.
func (d Disk) Erase() error { return withPartition(d.Partition(gpt.Perm), erase) }

// withPartition calls f with a device that nobody else uses.
func withPartition(path string, f func(*os.File) error) error {
	part, err := openExclusively(path)
	if err != nil {
		return err
	}
	return errors.Join(f(part), part.Close())
}

// openExclusively opens a device once the kernel's probing of it is over.
func openExclusively(path string) (*os.File, error) {
	for deadline := time.Now().Add(5 * time.Second); ; {
		f, err := os.OpenFile(path, os.O_RDWR|unix.O_EXCL, 0)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return f, err
		}
		<-time.After(50 * time.Millisecond)
	}
}
