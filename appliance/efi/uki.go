package efi

import (
	"fmt"
	"io"
	"strings"

	"leap.example/updater/target"
)

// Names of the sections of a unified kernel image.
const (
	SectionRelease = ".osrel"
	SectionCmdline = ".cmdline"
	SectionInitrd  = ".initrd"
	SectionKernel  = ".linux"
)

// maxText limits the sections that are read into memory.
const maxText = 1 << 12

// A UKI is a unified kernel image, a release in one file.
type UKI struct {
	*Image
	Version string // See [target.CheckVersion].
	Cmdline string // Of the kernel.
}

// osID is the ID of our releases; what has another one is another system.
const osID = "leap"

// FileName is the name of the file of a release that is not on trial.
func FileName(version string) string { return osID + "_" + version + ".efi" }

// OSRelease is the content of the section .osrel, from which the boot loader
// takes title, order and version (os-release(5)).
func OSRelease(version string) string {
	return fmt.Sprintf("NAME=LEAP\nPRETTY_NAME=\"LEAP %[2]s\"\nID=%[1]s\nIMAGE_ID=%[1]s\nIMAGE_VERSION=%[2]s\nVERSION_ID=%[2]s\n", osID, version)
}

// OpenUKI reads a release. The file stays in use by the UKI. That it is whole
// and whose it is, says only [Image.Verify]. Errors wrap [ErrFormat], or are
// those of r.
func OpenUKI(r io.ReaderAt, size int64) (*UKI, error) {
	m, err := Open(r, size)
	if err != nil {
		return nil, err
	}
	u := &UKI{Image: m}
	release, err := m.text(SectionRelease)
	if err != nil {
		return nil, err
	}
	system := ""
	for line := range strings.Lines(release) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch key {
		case "ID":
			system = value
		case "IMAGE_VERSION":
			u.Version = value
		}
	}
	if system != osID {
		return nil, formatErrorf("it is a release of another system")
	}
	if err := target.CheckVersion(u.Version); err != nil {
		return nil, formatErrorf("%v", err)
	}
	if u.Cmdline, err = m.text(SectionCmdline); err != nil {
		return nil, err
	}
	for _, name := range []string{SectionInitrd, SectionKernel} {
		s, err := m.Section(name)
		if err != nil {
			return nil, err
		}
		if s.Size() == 0 {
			return nil, formatErrorf("its section %s is empty", name)
		}
	}
	return u, nil
}

// text is the content of a short section.
func (m *Image) text(name string) (string, error) {
	s, err := m.Section(name)
	if err != nil {
		return "", err
	}
	if s.Size() > maxText {
		return "", formatErrorf("its section %s has %d bytes", name, s.Size())
	}
	text, err := io.ReadAll(s)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", name, err)
	}
	return string(text), nil
}
