package tufclient

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
)

// block is that of a tar.
const block = 512

// salvage returns what can be read of the file of a state that is damaged. It looks
// for files wherever one may begin in a tar. None of them is the work of who has
// signed metadata: the name of each ends with a zero byte, which no JSON holds. What
// they say counts only if the root in force vouches for it, as what is whole does.
func salvage(data []byte) state {
	s := state{files: map[string][]byte{}}
	for len(data) >= block {
		name, content, err := entry(data)
		if err != nil || s.add(name, content) != nil {
			data = data[block:]
			continue
		}
		data = data[min(len(data), block+(len(content)+block-1)/block*block):]
	}
	return s
}

// errNoEntry is that no file begins somewhere in a tar.
var errNoEntry = errors.New("no file begins here")

// entry reads the file that begins data.
func entry(data []byte) (name string, content []byte, err error) {
	const longest = 100 // POSIX, ustar header block: name.
	n := bytes.IndexByte(data[:longest], 0)
	if n < 1 {
		return "", nil, errNoEntry
	}
	r := tar.NewReader(bytes.NewReader(data))
	h, err := r.Next()
	if err != nil {
		return "", nil, err
	}
	if h.Name != string(data[:n]) || h.Size < 0 || h.Size > int64(len(data)-block) {
		return "", nil, errNoEntry
	}
	content, err = io.ReadAll(r)
	return h.Name, content, err
}
