package cluster

import (
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"leap.example/tests/lab"
	"leap.example/tests/play"
)

const (
	piece   = 4 << 20 // Bytes that are looked at together.
	overlap = 1 << 10 // So that a word across two pieces is found.
)

// disks looks for words on all disks as they lie there. No machine may run.
func disks(t *testing.T, l *lab.Lab, f *play.Finder) {
	t.Helper()
	for _, n := range l.Nodes() {
		file, err := os.Open(n.Disk())
		check(t, err)
		err = data(file, func(part []byte) { f.Look(n.Name(), part) })
		_ = file.Close() // Only read.
		check(t, err)
	}
}

// data gives all that a sparse file has to look, in pieces that overlap.
func data(file *os.File, look func([]byte)) error {
	buffer := make([]byte, piece)
	for at := int64(0); ; {
		begin, err := file.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // A hole up to the end.
		}
		if err != nil {
			return err
		}
		end, err := file.Seek(begin, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		for at = begin; at < end; at += piece - overlap {
			n, err := file.ReadAt(buffer[:min(piece, end-at)], at)
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			look(buffer[:n])
		}
		at = end
	}
}
