// Package efitest makes small EFI programs and releases that are well-formed and
// run nowhere, for tests of what reads, signs, stores and verifies them.
package efitest

import (
	"bytes"
	"debug/pe"
	"encoding/binary"

	"leap.example/appliance/efi"
)

// HeaderAt is where the PE header of a program stands.
const HeaderAt = 0x80

// Program returns a small program with these sections: name, content, ….
func Program(sections ...string) []byte {
	const headers = 0x400
	var out, body bytes.Buffer
	out.WriteString("MZ")
	out.Write(make([]byte, 0x3c-2))
	write := func(v any) {
		if err := binary.Write(&out, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	write(uint32(HeaderAt))
	out.Write(make([]byte, HeaderAt-out.Len()))
	out.WriteString("PE\x00\x00")
	write(pe.FileHeader{
		Machine: pe.IMAGE_FILE_MACHINE_AMD64, NumberOfSections: uint16(len(sections) / 2),
		SizeOfOptionalHeader: uint16(binary.Size(pe.OptionalHeader64{})), Characteristics: 0x22e,
	})
	write(pe.OptionalHeader64{
		Magic: 0x20b, SectionAlignment: 0x1000, FileAlignment: 0x200, SizeOfHeaders: headers,
		SizeOfImage: 0x10000, Subsystem: 10, NumberOfRvaAndSizes: 16,
	})
	for i := 0; i < len(sections); i += 2 {
		h := pe.SectionHeader32{
			VirtualSize: uint32(len(sections[i+1])), VirtualAddress: uint32(0x1000 * (i/2 + 1)),
			SizeOfRawData: uint32(len(sections[i+1])+0x1ff) &^ 0x1ff, PointerToRawData: uint32(headers + body.Len()),
		}
		copy(h.Name[:], sections[i])
		write(h)
		body.WriteString(sections[i+1])
		body.Write(make([]byte, int(h.SizeOfRawData)-len(sections[i+1])))
	}
	out.Write(make([]byte, headers-out.Len()))
	return append(out.Bytes(), body.Bytes()...)
}

// UKI returns a release of that version whose kernel and files are these.
func UKI(version, kernel, initrd string) []byte {
	return Program(".text", "code", efi.SectionRelease, efi.OSRelease(version),
		efi.SectionCmdline, "quiet", efi.SectionInitrd, initrd, efi.SectionKernel, kernel)
}
