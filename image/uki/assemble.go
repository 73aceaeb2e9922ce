package uki

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"

	"leap.example/appliance/efi"
)

// A section goes into the image behind those of the stub.
type section struct {
	name string
	data []byte
}

// Alignments of what is added: in memory, and in the file.
const (
	memoryAlign = 64 << 10
	fileAlign   = 512
)

// Offsets in the PE headers ("PE Format", Microsoft).
const (
	lfanew           = 0x3c
	numberOfSections = 4 + 2  // From the PE signature on.
	sizeOfOptional   = 4 + 16 // From the PE signature on.
	sizeOfImage      = 56     // From the optional header on.
	initializedRead  = pe.IMAGE_SCN_CNT_INITIALIZED_DATA | pe.IMAGE_SCN_MEM_READ
)

// assemble returns the stub with further sections, unsigned, and filled up so
// that a signature is a pure appendix (UAPI group, "Unified Kernel Image").
func assemble(stub []byte, sections []section) ([]byte, error) {
	stub, err := efi.Strip(stub)
	if err != nil {
		return nil, fmt.Errorf("stub: %w", err)
	}
	f, err := pe.NewFile(bytes.NewReader(stub))
	if err != nil {
		return nil, fmt.Errorf("stub: %w", err)
	}
	header, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok || header.FileAlignment != fileAlign || len(stub)%fileAlign != 0 {
		return nil, errors.New("stub: unknown alignment")
	}
	le := binary.LittleEndian
	at := int(le.Uint32(stub[lfanew:]))
	optional := at + 4 + binary.Size(pe.FileHeader{})
	table := optional + int(le.Uint16(stub[at+sizeOfOptional:]))
	each := binary.Size(pe.SectionHeader32{})
	if table+(len(f.Sections)+len(sections))*each > int(header.SizeOfHeaders) {
		return nil, errors.New("stub: no room for more section headers")
	}

	address, size := 0, len(stub)
	for _, s := range f.Sections {
		address = max(address, int(s.VirtualAddress+s.VirtualSize))
	}
	for _, s := range sections {
		size += align(len(s.data), fileAlign)
	}
	out := append(make([]byte, 0, size), stub...)
	for i, s := range sections {
		address = align(address, memoryAlign)
		h := pe.SectionHeader32{
			VirtualSize: uint32(len(s.data)), VirtualAddress: uint32(address),
			SizeOfRawData: uint32(align(len(s.data), fileAlign)), PointerToRawData: uint32(len(out)),
			Characteristics: initializedRead,
		}
		copy(h.Name[:], s.name)
		if _, err := binary.Encode(out[table+(len(f.Sections)+i)*each:], le, h); err != nil {
			return nil, err
		}
		out = append(out, s.data...)
		out = append(out, make([]byte, int(h.SizeOfRawData)-len(s.data))...)
		address += len(s.data)
	}
	le.PutUint16(out[at+numberOfSections:], uint16(len(f.Sections)+len(sections)))
	le.PutUint32(out[optional+sizeOfImage:], uint32(align(address, memoryAlign)))
	return out, nil
}

// align returns n or the next multiple of a, a power of two.
func align(n, a int) int { return (n + a - 1) &^ (a - 1) }
