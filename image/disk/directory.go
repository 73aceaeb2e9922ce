package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf16"
)

// Attributes of directory entries.
const (
	attrLabel     = 0x08
	attrDirectory = 0x10
	attrArchive   = 0x20
	attrLongName  = 0x0f
	recordSize    = 32
	firstDay      = 0x0021 // 1980-01-01, the first that there is.
)

// An entry is a file or directory.
type entry struct {
	name      string
	directory bool
	data      []byte
	children  []*entry
	cluster   uint32
}

// add puts a file into a directory, making the directories on its way.
func (e *entry) add(path []string, data []byte) error {
	if len(path[0]) == 0 || len(path[0]) > 255 || strings.Trim(path[0], " .") != path[0] {
		return fmt.Errorf("%q is no name", path[0])
	}
	var child *entry
	for _, c := range e.children {
		if strings.EqualFold(c.name, path[0]) {
			child = c
		}
	}
	last := len(path) == 1
	if child != nil && (last || !child.directory || child.name != path[0]) {
		return fmt.Errorf("%s is there already", child.name)
	}
	if child == nil {
		child = &entry{name: path[0], directory: !last}
		e.children = append(e.children, child)
		if len(e.children) > 9 {
			return errors.New("the directory has more entries than one digit counts")
		}
	}
	if last {
		child.data = data
		return nil
	}
	return child.add(path[1:], data)
}

// records is the content of a directory below parent, which is nil for the
// root.
func (e *entry) records(parent *entry) []byte {
	var out []byte
	if parent == nil {
		out = append(out, record(volumeLabel, attrLabel, 0, 0)...)
	} else {
		up := parent.cluster
		if up == rootCluster {
			up = 0 // "..", if that is the root.
		}
		out = append(out, record(".          ", attrDirectory, e.cluster, 0)...)
		out = append(out, record("..         ", attrDirectory, up, 0)...)
	}
	for i, c := range e.children {
		short, whole := shortName(c.name, i+1)
		if !whole {
			out = append(out, longName(c.name, short)...)
		}
		attr := byte(attrArchive)
		if c.directory {
			attr = attrDirectory
		}
		out = append(out, record(short, attr, c.cluster, uint32(len(c.data)))...)
	}
	return out
}

func record(short string, attr byte, cluster, size uint32) []byte {
	b := make([]byte, recordSize)
	le := binary.LittleEndian
	copy(b, short)
	b[11] = attr
	le.PutUint16(b[16:], firstDay) // Made,
	le.PutUint16(b[18:], firstDay) // read,
	le.PutUint16(b[24:], firstDay) // written.
	le.PutUint16(b[20:], uint16(cluster>>16))
	le.PutUint16(b[26:], uint16(cluster))
	le.PutUint32(b[28:], size)
	return b
}

var (
	isShort  = regexp.MustCompile(`^[A-Z0-9_-]{1,8}(\.[A-Z0-9_-]{1,3})?$`)
	notShort = regexp.MustCompile(`[^A-Z0-9_-]`)
)

// shortName is the name of 8 and 3 characters of the nth entry of a directory;
// whole says that it is the name itself.
func shortName(name string, n int) (short string, whole bool) {
	base, extension := name, ""
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		base, extension = name[:i], name[i+1:]
	}
	if isShort.MatchString(name) {
		return fmt.Sprintf("%-8s%-3s", base, extension), true
	}
	base = notShort.ReplaceAllString(strings.ToUpper(base), "")
	extension = notShort.ReplaceAllString(strings.ToUpper(extension), "")
	base = fmt.Sprintf("%.6s~%d", base, n)
	return fmt.Sprintf("%-8s%-3.3s", base, extension), false
}

// longName returns the records that stand before that of the short name, the
// last part of the name first.
func longName(name, short string) []byte {
	const units = 13
	sum := byte(0)
	for i := range 11 {
		sum = (sum&1<<7 | sum>>1) + short[i]
	}
	text := append(utf16.Encode([]rune(name)), 0)
	for len(text)%units != 0 {
		text = append(text, 0xffff)
	}
	if n := len(text) - units; text[n] == 0 {
		text = text[:n] // A name that fills its records has no end.
	}
	var out []byte
	for i := len(text)/units - 1; i >= 0; i-- {
		b := make([]byte, recordSize)
		b[0] = byte(i + 1)
		if out == nil {
			b[0] |= 0x40
		}
		b[11], b[13] = attrLongName, sum
		at := []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}
		for k, unit := range text[i*units : (i+1)*units] {
			binary.LittleEndian.PutUint16(b[at[k]:], unit)
		}
		out = append(out, b...)
	}
	return out
}
