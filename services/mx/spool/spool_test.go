package spool_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"leap.example/services/mx/spool"
	"leap.example/services/protocol/problem"
)

const canary = "canary-9b1f77"

func message(n int) []byte {
	return bytes.Repeat([]byte(canary+"\r\n"), n/len(canary)+1)[:n]
}

func TestSpool(t *testing.T) {
	for _, tt := range []struct {
		name   string
		size   int
		memory int64
		path   bool
		err    error
	}{
		{"empty", 0, 1 << 20, true, nil},
		{"small", 10 << 10, 1 << 20, true, nil},
		{"largest in memory", spool.InMemory, 2 << 20, true, nil},
		{"in a file", 5 << 20, 2 << 20, true, nil},
		{"little memory", 5 << 20, 20 << 10, true, nil},
		{"no memory", 10, 100, true, problem.Unavailable},
		{"large in memory", 5 << 20, 16 << 20, false, nil},
		{"no file", 5 << 20, 2 << 20, false, problem.Unavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := ""
			if tt.path {
				path = t.TempDir()
			}
			d := spool.New(path, tt.memory)
			want := message(tt.size)
			for range 3 { // What the first took is given back.
				s, err := d.Receive(iotest.HalfReader(bytes.NewReader(want)))
				if !errors.Is(err, tt.err) {
					t.Fatalf("got %v, want %v", err, tt.err)
				}
				if err != nil {
					continue
				}
				got, err := s.Bytes()
				if err != nil || !bytes.Equal(got, want) || s.Size() != int64(tt.size) {
					t.Errorf("got %d octets (size %d), %v; want the %d that were put in", len(got), s.Size(), err, tt.size)
				}
				s.Close()
			}
		})
	}
}

// open returns the contents of all files that this process has open in dir.
func open(t *testing.T, dir string) (all []byte, files int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(fds) == 0 {
		t.Skip("no /proc/self/fd")
	}
	for _, fd := range fds {
		if name, err := os.Readlink(fd); err == nil && strings.HasPrefix(name, dir) {
			data, err := os.ReadFile(fd)
			if err != nil {
				t.Fatal(err)
			}
			all, files = append(all, data...), files+1
		}
	}
	return all, files
}

func TestFileIsSealedAndNameless(t *testing.T) {
	dir := t.TempDir()
	d := spool.New(dir, 8<<20)
	s, err := d.Receive(bytes.NewReader(message(4 << 20)))
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("the directory holds %v", left)
	}
	data, files := open(t, dir)
	if files != 1 || len(data) < 2<<20 || bytes.Contains(data, []byte(canary)) {
		t.Errorf("%d open files with %d octets, clear text: %v", files, len(data), bytes.Contains(data, []byte(canary)))
	}
	s.Close()
	if _, files := open(t, dir); files != 0 {
		t.Errorf("%d files are open after Close", files)
	}
}

func TestBrokenReader(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("broken")
	r := io.MultiReader(bytes.NewReader(message(3<<20)), iotest.ErrReader(broken))
	if _, err := spool.New(dir, 8<<20).Receive(r); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if _, files := open(t, dir); files != 0 {
		t.Errorf("%d files are left open", files)
	}
}

func TestNoDirectory(t *testing.T) {
	d := spool.New("/nonexistent", 8<<20)
	if _, err := d.Receive(bytes.NewReader(message(3 << 20))); !errors.Is(err, problem.Unavailable) {
		t.Errorf("got %v, want %v", err, problem.Unavailable)
	}
}
