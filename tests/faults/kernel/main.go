// Command kernel is the first process of a machine that runs the tests of other
// packages: the programs NAME/test in the archive on its disk, one after the other,
// each behind the files that it reads. What they say goes to the console, "kernel:
// NAME STATUS" after each, "kernel: done" at the end.
package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(); err != nil {
		fmt.Println("kernel:", err)
	}
	fmt.Println("kernel: done")
	unix.Sync()
	fmt.Println(unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

func run() error {
	for dir, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs", "/tmp": "tmpfs", "/run": "tmpfs"} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), unix.Mount(kind, dir, kind, 0, "")); err != nil {
			return fmt.Errorf("mounting %s: %w", dir, err)
		}
	}
	if err := errors.Join(os.Chmod("/tmp", 0o1777), os.MkdirAll("/etc", 0o755), os.Symlink("/run", "/var")); err != nil {
		return err
	}
	if err := loopback(); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	disk, err := os.Open("/dev/vda")
	if err != nil {
		return err
	}
	defer disk.Close()
	files := tar.NewReader(disk)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join("/tmp", header.Name)
		if err := write(path, files); err != nil {
			return err
		}
		if filepath.Base(path) != "test" {
			continue
		}
		name, how := filepath.Base(filepath.Dir(path)), "ok"
		if err := test(path); err != nil {
			how = err.Error()
		}
		fmt.Printf("kernel: %s %s\n", name, how)
	}
}

// loopback sets it up, and with it 127.0.0.1 and ::1.
func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
}

func write(path string, from io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// test runs one program where its files are, and removes it.
func test(path string) error {
	defer os.Remove(path)
	cmd := exec.Command(path, "-test.v", "-test.timeout=4m")
	cmd.Dir = filepath.Dir(path)
	cmd.Env = []string{"PATH=/", "TMPDIR=/tmp", "HOME=/tmp"}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	return cmd.Run()
}
