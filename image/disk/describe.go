package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Describe says, for people, what would be lost if target was flashed: the
// model and size of a device, or the size of a file. It is "" if nothing is
// there. It refuses what [Flash] would refuse, and changes nothing.
func Describe(target string) (string, error) {
	info, err := os.Stat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case info.Mode().IsRegular():
		return fmt.Sprintf("the file %s (%s)", target, size(info.Size())), nil
	case info.Mode().Type() != fs.ModeDevice: // Character devices have another bit too.
		return "", fmt.Errorf("%s is neither a file nor a block device", target)
	}
	var stat unix.Stat_t
	if err := unix.Stat(target, &stat); err != nil {
		return "", fmt.Errorf("%s: %w", target, err)
	}
	text, err := kernel{proc: os.DirFS("/proc"), sys: os.DirFS("/sys")}.describe(unix.Major(stat.Rdev), unix.Minor(stat.Rdev))
	if err != nil {
		return "", fmt.Errorf("%s: %w", target, err)
	}
	return "the disk " + target + " (" + text + ")", nil
}

// describe is model and size of a device that may be flashed.
func (k kernel) describe(major, minor uint32) (string, error) {
	if err := k.checkFree(major, minor); err != nil {
		return "", err
	}
	dir := fmt.Sprintf("dev/block/%d:%d", major, minor)
	count, err := text(k.sys, dir+"/size") // Sectors of 512 bytes, whatever the device has.
	if err != nil {
		return "", err
	}
	sectors, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		return "", fmt.Errorf("its size is %q", count)
	}
	var parts []string
	for _, file := range []string{"device/vendor", "device/model"} { // Not every device has them.
		if s, err := text(k.sys, dir+"/"+file); err == nil && s != "" && !strings.HasPrefix(s, "0x") {
			parts = append(parts, s)
		}
	}
	return strings.TrimPrefix(strings.Join(parts, " ")+", "+size(sectors*sectorSize), ", "), nil
}

// size is a number of bytes, as disks are sold.
func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d bytes", n)
}
