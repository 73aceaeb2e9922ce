package disk

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/fstest"
)

// TestCheckFree asks kernels whose answers are made up.
func TestCheckFree(t *testing.T) {
	text := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s + "\n")} }
	proc := fstest.MapFS{
		"swaps": text("Filename Type Size Used Priority"),
		"self/mountinfo": text("27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n" +
			"28 27 0:30 /home /home rw - btrfs /dev/vda2 rw"),
	}
	sys := fstest.MapFS{}
	device := func(dir, number, name string, more fstest.MapFS) {
		sys[dir+"/dev"], sys[dir+"/uevent"] = text(number), text("MAJOR=1\nDEVNAME="+name+"\nDEVTYPE=disk")
		sys[dir+"/ro"], sys[dir+"/queue/logical_block_size"] = text("0"), text("512")
		sys[dir+"/holders"] = &fstest.MapFile{Mode: 0o755 | 1<<31}
		for file, content := range more {
			sys[dir+"/"+file] = content
		}
	}
	const disk = "dev/block/8:0"
	device(disk, "8:0", "sda", nil)
	device(disk+"/sda1", "8:1", "sda1", fstest.MapFS{"partition": text("1")})
	device(disk+"/sda2", "8:2", "sda2", fstest.MapFS{"partition": text("2")})
	mount := func(line string) fstest.MapFS {
		return fstest.MapFS{"self/mountinfo": text(string(proc["self/mountinfo"].Data) + line)}
	}
	for _, tt := range []struct {
		name      string
		proc, sys fstest.MapFS
		want      string // Empty: free.
		inUse     bool
	}{
		{name: "free"},
		{name: "mounted", proc: mount("29 1 8:0 / /mnt rw - vfat /dev/sda rw"), want: "sda is mounted on /mnt", inUse: true},
		{name: "partition mounted", proc: mount("29 1 8:2 / /mnt rw - ext4 /dev/sda2 rw"), want: "sda2 is mounted on /mnt", inUse: true},
		{name: "known by its source", proc: mount("29 1 0:40 / /mnt rw a:1 b:2 - btrfs /dev/sda2 rw"), want: "sda2 is mounted on /mnt", inUse: true},
		{name: "swap", proc: fstest.MapFS{"swaps": text("Filename\n/dev/sda1 partition 1 0 -2")}, want: "/dev/sda1 is swap", inUse: true},
		{name: "held", sys: fstest.MapFS{disk + "/sda2/holders/dm-0": text("")}, want: "sda2 is a part of dm-0", inUse: true},
		{name: "partition", sys: fstest.MapFS{disk + "/partition": text("1")}, want: "name the whole disk"},
		{name: "read only", sys: fstest.MapFS{disk + "/ro": text("1")}, want: "ro is 1"},
		{name: "large sectors", sys: fstest.MapFS{disk + "/queue/logical_block_size": text("4096")}, want: "logical_block_size is 4096"},
		{name: "unreadable", proc: mount("garbage"), want: "cannot read"},
	} {
		k := kernel{proc: overlay(proc, tt.proc), sys: overlay(sys, tt.sys)}
		err := k.checkFree(8, 0)
		if tt.want == "" && err == nil {
			continue
		}
		if err == nil || tt.want == "" || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrInUse) != tt.inUse {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	for name, tt := range map[string]struct {
		sys  fstest.MapFS
		want string
	}{
		"with a model": {fstest.MapFS{disk + "/size": text("31266816"), disk + "/device/vendor": text("SanDisk "), disk + "/device/model": text("Cruzer  ")}, "SanDisk Cruzer, 16.0 GB"},
		"virtual":      {fstest.MapFS{disk + "/size": text("4096"), disk + "/device/vendor": text("0x1af4")}, "2.1 MB"},
		"tiny":         {fstest.MapFS{disk + "/size": text("2")}, "1024 bytes"},
	} {
		if got, err := (kernel{proc: proc, sys: overlay(sys, tt.sys)}).describe(8, 0); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, tt.want)
		}
	}
	if _, err := (kernel{proc: proc, sys: sys}).describe(8, 0); err == nil {
		t.Error("a device without a size is described")
	}
	if err := (kernel{proc: proc, sys: sys}).checkFree(9, 9); err == nil {
		t.Error("a device that is not there is free")
	}
}

func overlay(a, b fstest.MapFS) fstest.MapFS {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}
