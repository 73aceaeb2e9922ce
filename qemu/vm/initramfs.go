package vm

import "fmt"

// Initramfs returns an initramfs that holds one program, /init: the smallest
// guest. The kernel adds /dev/console itself.
func Initramfs(program []byte) []byte {
	var b []byte
	for _, f := range []struct {
		name string
		mode int
		data []byte
	}{
		{"dev", 0o040755, nil},
		{"proc", 0o040755, nil},
		{"init", 0o100755, program},
		{"TRAILER!!!", 0, nil},
	} {
		// The "newc" format (cpio(5)): magic, then inode, mode, uid, gid, links,
		// mtime, size, four device numbers, length of the name and a checksum.
		b = fmt.Appendf(b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
			len(b), f.mode, 0, 0, 1, 0, len(f.data), 0, 0, 0, 0, len(f.name)+1, 0, f.name)
		b = append(pad(b), f.data...)
		b = pad(b)
	}
	return b
}

func pad(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }

// powerOff is a program for x86-64 that powers the machine off: an ELF header,
// one segment of everything, and reboot(2).
var powerOff = []byte("" +
	"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x02\x00\x3e\x00\x01\x00\x00\x00" + // Executable, x86-64, version 1.
	"\x78\x00\x40\x00\x00\x00\x00\x00" + // Entry: behind the headers.
	"\x40\x00\x00\x00\x00\x00\x00\x00" + // Program headers.
	"\x00\x00\x00\x00\x00\x00\x00\x00" + // No section headers.
	"\x00\x00\x00\x00\x40\x00\x38\x00\x01\x00\x00\x00\x00\x00\x00\x00" +
	"\x01\x00\x00\x00\x05\x00\x00\x00" + // Load, readable and executable.
	"\x00\x00\x00\x00\x00\x00\x00\x00" + // From the start of the file
	"\x00\x00\x40\x00\x00\x00\x00\x00" + // to 0x400000.
	"\x00\x00\x40\x00\x00\x00\x00\x00" +
	"\x90\x00\x00\x00\x00\x00\x00\x00" + // Size in the file
	"\x90\x00\x00\x00\x00\x00\x00\x00" + // and in memory.
	"\x00\x10\x00\x00\x00\x00\x00\x00" +
	"\xb8\xa9\x00\x00\x00" + // mov eax, 169 (reboot)
	"\xbf\xad\xde\xe1\xfe" + // mov edi, 0xfee1dead
	"\xbe\x69\x19\x12\x28" + // mov esi, 0x28121969
	"\xba\xdc\xfe\x21\x43" + // mov edx, 0x4321fedc (RB_POWER_OFF)
	"\x0f\x05" + // syscall
	"\xeb\xfe") // jmp to itself
