package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"leap.example/appliance/efi"
	"leap.example/appliance/gpt"
)

// loaderConf is the boot loader's configuration (loader.conf(5)): start the
// newest entry that is not known as bad, at once, and let nobody change it.
const loaderConf = "timeout 0\neditor no\nauto-firmware no\n"

// DefaultPerm is the size of perm where nobody asks for another, in bytes.
const DefaultPerm = 1 << 30

// Options say what goes onto a disk.
type Options struct {
	UKI        []byte // The release. Required.
	BootLoader []byte // Required.
	Perm       int64  // Size of perm in bytes, a multiple of 1 MiB, at least [gpt.LeastPerm]. 0: [DefaultPerm].
}

// A Progress is told from time to time how many bytes of how many are done. It
// is called by the goroutine that does the work.
type Progress func(done, total int64)

// Write writes a disk image to a new file at path, or in the place of one that
// is there, once it is complete. The file is sparse: it takes what boot loader
// and release take. progress may be nil; ctx ends the work.
func Write(ctx context.Context, path string, o Options, progress Progress) (err error) {
	parts, size, err := o.layout()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".disk-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(f.Chmod(0o644), f.Truncate(size)); err != nil {
		return err
	}
	table, err := gpt.Layout(size)
	if err != nil {
		return err
	}
	esp := table.Partitions[gpt.ESP-1].Start()
	w := newWork(progress)
	for _, p := range parts {
		w.total += int64(len(p.data))
	}
	for _, p := range parts {
		if err := w.write(ctx, f, p.data, esp+p.at); err != nil {
			return err
		}
	}
	if err := table.Write(f); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// layout returns what is written to the system partition, and the disk's size.
func (o Options) layout() ([]part, int64, error) {
	perm := o.Perm
	if perm == 0 {
		perm = DefaultPerm
	}
	if perm < gpt.LeastPerm || perm%(1<<20) != 0 {
		return nil, 0, fmt.Errorf("perm with %d bytes: whole MiB are needed, and at least %d", perm, gpt.LeastPerm>>20)
	}
	release, err := efi.OpenUKI(bytes.NewReader(o.UKI), int64(len(o.UKI)))
	if err != nil {
		return nil, 0, fmt.Errorf("release: %w", err)
	}
	if _, err := efi.Open(bytes.NewReader(o.BootLoader), int64(len(o.BootLoader))); err != nil {
		return nil, 0, fmt.Errorf("boot loader: %w", err)
	}
	size := gpt.DiskSize(perm)
	table, err := gpt.Layout(size)
	if err != nil {
		return nil, 0, err
	}
	esp := table.Partitions[gpt.ESP-1]
	parts, err := newFAT(esp.Size(), uint32(esp.First), []file{
		{"EFI/BOOT/BOOTX64.EFI", o.BootLoader},
		{"EFI/Linux/" + efi.FileName(release.Version), o.UKI},
		{"loader/loader.conf", []byte(loaderConf)},
	})
	return parts, size, err
}
