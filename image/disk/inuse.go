package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// ErrInUse is that a device, or a part of it, is mounted or used otherwise.
var ErrInUse = errors.New("the device is in use")

// A kernel is asked who uses a device, by its files.
type kernel struct{ proc, sys fs.FS }

// checkFree reports why the block device with that number must not be flashed:
// it is no whole disk, cannot be written, or is in use. What the kernel uses
// and does not tell here, it refuses when the device is opened; this is to say
// by whom it is used.
func (k kernel) checkFree(major, minor uint32) error {
	dir := fmt.Sprintf("dev/block/%d:%d", major, minor)
	entries, err := fs.ReadDir(k.sys, dir)
	if err != nil {
		return fmt.Errorf("asking the kernel for the device: %w", err)
	}
	if _, err := fs.Stat(k.sys, dir+"/partition"); err == nil {
		return errors.New("it is a partition: name the whole disk")
	}
	for file, want := range map[string]string{"ro": "0", "queue/logical_block_size": "512"} {
		got, err := text(k.sys, path.Join(dir, file))
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("its %s is %s, and must be %s", path.Base(file), got, want)
		}
	}

	names := map[string]string{} // By number.
	dirs := []string{dir}
	for _, e := range entries {
		if _, err := fs.Stat(k.sys, path.Join(dir, e.Name(), "partition")); err == nil {
			dirs = append(dirs, path.Join(dir, e.Name()))
		}
	}
	for _, d := range dirs {
		number, err := text(k.sys, d+"/dev")
		if err != nil {
			return err
		}
		name, err := k.name(d)
		if err != nil {
			return err
		}
		names[number] = name
		holders, err := fs.ReadDir(k.sys, d+"/holders")
		if err != nil {
			return err
		}
		if len(holders) > 0 {
			return fmt.Errorf("%w: %s is a part of %s", ErrInUse, name, holders[0].Name())
		}
	}
	return k.checkMounts(names)
}

// checkMounts looks for devices, names by numbers, among what is mounted and
// what is swapped to.
func (k kernel) checkMounts(names map[string]string) error {
	byName := map[string]bool{}
	for _, name := range names {
		byName["/dev/"+name] = true
	}
	mounts, err := text(k.proc, "self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(mounts) {
		// proc_pid_mountinfo(5): the third field is the device, the fifth where
		// it is mounted; the source is the second one behind the dash. Some file
		// systems have a number of their own, and only the source tells.
		f := strings.Fields(line)
		_, behind, _ := strings.Cut(line, " - ")
		source := strings.Fields(behind)
		if len(f) < 5 || len(source) < 2 {
			return fmt.Errorf("cannot read what is mounted: %q", line)
		}
		name, ok := names[f[2]]
		if !ok && byName[source[1]] {
			name, ok = strings.TrimPrefix(source[1], "/dev/"), true
		}
		if ok {
			return fmt.Errorf("%w: %s is mounted on %s", ErrInUse, name, f[4])
		}
	}
	swaps, err := text(k.proc, "swaps")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // A kernel without swap.
	}
	for line := range strings.Lines(swaps) {
		if f := strings.Fields(line); len(f) > 0 && byName[f[0]] {
			return fmt.Errorf("%w: %s is swap space", ErrInUse, f[0])
		}
	}
	return err
}

// name is the name of a device below /dev.
func (k kernel) name(dir string) (string, error) {
	event, err := text(k.sys, dir+"/uevent")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(event) {
		if name, ok := strings.CutPrefix(line, "DEVNAME="); ok {
			return strings.TrimSpace(name), nil
		}
	}
	return "", fmt.Errorf("the kernel has no name for %s", dir)
}

// text is the content of one of the kernel's files.
func text(from fs.FS, name string) (string, error) {
	data, err := fs.ReadFile(from, name)
	if err != nil {
		return "", fmt.Errorf("asking the kernel for the device: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}
