package uki

import (
	"bytes"
	"fmt"
)

// Types of files, and permissions, as the mode says them (inode(7)).
const (
	modeFile      = 0o100000
	modeDirectory = 0o040000
	modeLink      = 0o120000
	modeType      = 0o170000
)

// A node is a file, directory or symbolic link of the file system.
type node struct {
	path string // Without a slash in front.
	mode uint32
	data []byte // Content, or where the link leads.
}

// archive writes nodes as a cpio archive in the format "newc" (Linux,
// Documentation/driver-api/early-userspace/buffer-format.rst). All belong to
// root and have no time. A directory must come before what is in it.
func archive(nodes []node) []byte {
	size := 0
	for _, n := range nodes {
		size += len(n.data) + len(n.path) + 128
	}
	out := bytes.NewBuffer(make([]byte, 0, size+512))
	write := func(inode int, n node) {
		links := 1
		if n.mode&modeType == modeDirectory {
			links = 2
		}
		fmt.Fprintf(out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
			inode, n.mode, 0, 0, links, 0, len(n.data), 0, 0, 0, 0, len(n.path)+1, 0, n.path)
		out.Write(make([]byte, -out.Len()&3))
		out.Write(n.data)
		out.Write(make([]byte, -out.Len()&3))
	}
	for i, n := range nodes {
		write(i+1, n)
	}
	write(0, node{path: "TRAILER!!!"})
	out.Write(make([]byte, -out.Len()&511))
	return out.Bytes()
}
