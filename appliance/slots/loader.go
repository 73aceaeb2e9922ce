package slots

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf16"
)

// A Loader is what the boot loader has told about this start.
type Loader struct {
	Name  string // As it calls itself. Empty: there was none.
	Entry Entry  // The release that it has started, if that has a counter. Otherwise zero.
}

// vendor is the namespace of the boot loader's variables (Boot Loader Interface).
const vendor = "-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

// ReadLoader reads what the boot loader has told, in the files of the firmware's
// variables below dir (efivarfs). Without such files there was none.
func ReadLoader(dir string) (Loader, error) {
	name, err := variable(dir, "LoaderInfo")
	if err != nil || name == "" {
		return Loader{}, err
	}
	l := Loader{Name: name}
	// Boot Loader Interface: set only if the entry has a counter, and then to the
	// name that it has while it runs.
	path, err := variable(dir, "LoaderBootCountPath")
	if err != nil || path == "" {
		return l, err
	}
	entry, ok := parseName(path[strings.LastIndex(path, `\`)+1:])
	if !ok {
		return l, fmt.Errorf("the boot loader has started %q, which is no release", path)
	}
	l.Entry = entry
	return l, nil
}

// variable is the text in a variable. Empty: there is none.
func variable(dir, name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, name+vendor))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, err := variableText(data)
	if err != nil {
		return "", fmt.Errorf("variable %s: %w", name, err)
	}
	return text, nil
}

const (
	attributes  = 4 // Bytes before the value (Linux, Documentation/filesystems/efivarfs.rst).
	maxVariable = 2 << 10
)

// variableText reads UTF-16 with a zero at the end, behind the attributes.
func variableText(data []byte) (string, error) {
	if len(data) < attributes+2 || len(data) > maxVariable || len(data)%2 != 0 {
		return "", fmt.Errorf("%d bytes are no text", len(data))
	}
	units := make([]uint16, (len(data)-attributes)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(data[attributes+2*i:])
	}
	last := len(units) - 1
	if units[last] != 0 {
		return "", errors.New("no end of the text")
	}
	return string(utf16.Decode(units[:last])), nil
}
