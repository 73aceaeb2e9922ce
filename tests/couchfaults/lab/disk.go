package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// A Disk is a file system of a fixed size, in memory. It is mounted where only
// the process that keeps it sees it, and is gone with that, whatever happens
// to the lab.
type Disk struct {
	Path string // Where others reach it.

	keeper *exec.Cmd
	stdin  io.Closer
}

// ErrNoDisk means that this system lets us mount nothing.
var ErrNoDisk = errors.New("no disk")

// NewDisk makes a disk, or returns ErrNoDisk. at is an empty directory. The caller ends with Close.
func NewDisk(at string, bytes int64) (*Disk, error) {
	script := `mount -t tmpfs -o size="$2",mode=0700 tmpfs "$1" && echo mounted && exec cat`
	cmd := exec.Command("/bin/sh", "-c", script, "sh", at, strconv.FormatInt(bytes, 10))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Unshareflags: syscall.CLONE_NEWNS}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDisk, err)
	}
	d := &Disk{keeper: cmd, stdin: stdin}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrNoDisk, line, errors.Join(err, d.Close()))
	}
	d.Path = fmt.Sprintf("/proc/%d/root%s", cmd.Process.Pid, at)
	return d, nil
}

// Fill takes all space of the disk but the last bytes, or none of them.
func (d *Disk) Fill(leave int64) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(d.Path, &fs); err != nil {
		return err
	}
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	zeros := make([]byte, fs.Bsize)
	for free := int64(fs.Bavail) * fs.Bsize; free > leave; free -= fs.Bsize {
		if _, err = f.Write(zeros); err != nil {
			break
		}
	}
	if errors.Is(err, syscall.ENOSPC) {
		err = nil // Somebody was faster.
	}
	return errors.Join(err, f.Close())
}

// Free gives the space back.
func (d *Disk) Free() error {
	err := os.Remove(d.ballast())
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return err
}

func (d *Disk) ballast() string { return filepath.Join(d.Path, "ballast") }

// Close ends the disk. What was on it is gone.
func (d *Disk) Close() error {
	d.stdin.Close() // The keeper reads the end of it, and ends.
	return d.keeper.Wait()
}
