// Command late is a release that panics some time after it has started. The node's
// own program is behind it in its file, and its length, 8 bytes big-endian, behind
// that: late unpacks it, and becomes it; the first process of the machine has another
// one have the kernel panic.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

const (
	self    = "/leapd"
	program = "/program"
	trigger = "/proc/sysrq-trigger"
	after   = 150 * time.Second // When its services are healthy, and watched.
)

func main() {
	err := run()
	fmt.Fprintln(os.Stderr, "late:", err)
	os.Exit(1)
}

// run returns if something fails.
func run() error {
	if len(os.Args) == 2 && os.Args[1] == "panic" {
		time.Sleep(after)
		return os.WriteFile(trigger, []byte("c"), 0)
	}
	if os.Getpid() == 1 {
		if err := unpack(); err != nil {
			return err
		}
		p, err := os.StartProcess(self, []string{self, "panic"}, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
		if err != nil {
			return err
		}
		if err := p.Release(); err != nil {
			return err
		}
	}
	return syscall.Exec(program, os.Args, os.Environ())
}

func unpack() error {
	from, err := os.Open(self)
	if err != nil {
		return err
	}
	defer from.Close() // Only read.
	var length [8]byte
	end, err := from.Seek(-int64(len(length)), io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return err
	}
	size := int64(binary.BigEndian.Uint64(length[:]))
	to, err := os.OpenFile(program, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, io.NewSectionReader(from, end-size, size)); err != nil {
		return err
	}
	return to.Close()
}
