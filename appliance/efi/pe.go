package efi

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrFormat is what every error about a file's form wraps: the file is no EFI
// program for this machine, or a damaged or cut one.
var ErrFormat = errors.New("not a whole EFI program for x86-64")

// Offsets of the optional header that are not signed, and sizes.
const (
	lfanew        = 0x3c // Where the offset of the PE header stands.
	checkSum      = 64
	securityEntry = 144 // Offset and size of the certificate table.
	optionalSize  = 152 // Up to the end of the security entry.
	maxHeaders    = 1 << 16
	maxSections   = 32
)

// A Section is a named part of a program.
type Section struct {
	Name    string
	Address uint32 // Relative to where the program is loaded.
	Size    uint32 // Of the content, in bytes.
	offset  uint32 // In the file.
	raw     uint32 // Size in the file, filled up with zeros.
}

// An Image is an EFI program in a file.
type Image struct {
	Sections []Section // In the order of the file.

	r        io.ReaderAt
	size     int64 // Of the file.
	optional int64 // Offset of the optional header.
	end      int64 // Of the last section.
	table    int64 // Offset of the certificate table, or 0.
}

func formatErrorf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// Open reads the headers of a program of size bytes. The file stays in use by
// the Image. Errors wrap [ErrFormat], or are those of r.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	m := &Image{r: r, size: size}
	head := make([]byte, min(size, maxHeaders))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading headers: %w", err)
	}
	if len(head) < lfanew+4 || !bytes.HasPrefix(head, []byte("MZ")) {
		return nil, formatErrorf("it does not begin with MZ")
	}
	at := int64(binary.LittleEndian.Uint32(head[lfanew:]))
	m.optional = at + 4 + int64(binary.Size(pe.FileHeader{}))
	if m.optional+optionalSize > int64(len(head)) || !bytes.HasPrefix(head[at:], []byte("PE\x00\x00")) {
		return nil, formatErrorf("it has no PE header")
	}
	var file pe.FileHeader
	var optional pe.OptionalHeader64
	if err := decode(head[at+4:], &file); err != nil {
		return nil, err
	}
	if file.Machine != pe.IMAGE_FILE_MACHINE_AMD64 {
		return nil, formatErrorf("it is for machine %#x", file.Machine)
	}
	if err := decode(head[m.optional:], &optional); err != nil {
		return nil, err
	}
	if optional.Magic != 0x20b || int(file.SizeOfOptionalHeader) < optionalSize || optional.NumberOfRvaAndSizes < 5 {
		return nil, formatErrorf("its optional header is not PE32+")
	}
	if err := m.readSections(head, file, optional); err != nil {
		return nil, err
	}
	return m, m.findTable(optional.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_SECURITY])
}

func decode(data []byte, v any) error {
	if _, err := binary.Decode(data, binary.LittleEndian, v); err != nil {
		return formatErrorf("its headers are cut")
	}
	return nil
}

func (m *Image) readSections(head []byte, file pe.FileHeader, optional pe.OptionalHeader64) error {
	at := m.optional + int64(file.SizeOfOptionalHeader)
	n, each := int(file.NumberOfSections), int64(binary.Size(pe.SectionHeader32{}))
	m.end = int64(optional.SizeOfHeaders)
	if n == 0 || n > maxSections {
		return formatErrorf("it has %d sections", n)
	}
	if at+int64(n)*each > m.end || m.end > int64(len(head)) {
		return formatErrorf("its headers have no room")
	}
	for range n {
		var h pe.SectionHeader32
		if err := decode(head[at:], &h); err != nil {
			return err
		}
		at += each
		name, _, _ := bytes.Cut(h.Name[:], []byte{0})
		s := Section{
			Name: string(name), Address: h.VirtualAddress, Size: min(h.VirtualSize, h.SizeOfRawData),
			offset: h.PointerToRawData, raw: h.SizeOfRawData,
		}
		if s.raw != 0 {
			// Authenticode leaves gaps between sections out of the digest.
			if int64(s.offset) != m.end {
				return formatErrorf("section %q does not begin where the one before ends", s.Name)
			}
			m.end += int64(s.raw)
		}
		m.Sections = append(m.Sections, s)
	}
	if m.end > m.size {
		return formatErrorf("it has %d bytes of at least %d", m.size, m.end)
	}
	return nil
}

// findTable checks that the certificate table, if there is one, is what the
// file ends with.
func (m *Image) findTable(d pe.DataDirectory) error {
	if d == (pe.DataDirectory{}) {
		return nil
	}
	// The "address" of this directory alone is an offset in the file.
	m.table = int64(d.VirtualAddress)
	if m.table%8 != 0 || m.table < m.end || m.table+int64(d.Size) != m.size || d.Size == 0 {
		return formatErrorf("its certificate table is not at its end")
	}
	return nil
}

// Section returns the content of the only section of that name. The error
// wraps [ErrFormat].
func (m *Image) Section(name string) (*io.SectionReader, error) {
	var found *io.SectionReader
	for _, s := range m.Sections {
		if s.Name != name {
			continue
		}
		if found != nil {
			return nil, formatErrorf("it has two sections %s", name)
		}
		found = io.NewSectionReader(m.r, int64(s.offset), int64(s.Size))
	}
	if found == nil {
		return nil, formatErrorf("it has no section %s", name)
	}
	return found, nil
}

// Signed reports whether there is a signature, good or bad.
func (m *Image) Signed() bool { return m.table != 0 }
