package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// settings is the directory that remembers what the kernel's settings were.
type settings string

// sysctls are the settings while the table is there. arp_ignore 2: nobody on a
// link learns whether this machine has the tunnel's address, as only questions
// about the link's own network are answered. rp_filter 2: answers to sockets
// outside the tunnel come by another way than the one the kernel would take; the
// table, which lets answers alone in, is stricter than its check.
var sysctls = map[string]string{
	"net/ipv4/conf/all/arp_ignore": "2",
	"net/ipv4/conf/all/rp_filter":  "2",
}

// keep sets the settings, or puts back what was before.
func (s settings) keep(closed bool) error {
	for name, want := range sysctls {
		path, memory := filepath.Join("/proc/sys", name), filepath.Join(string(s), filepath.Base(name))
		var err error
		if closed {
			err = s.set(path, memory, want)
		} else {
			err = s.unset(path, memory)
		}
		if err != nil {
			return fmt.Errorf("the kernel's setting %s: %w", name, err)
		}
	}
	return nil
}

func (s settings) set(path, memory, want string) error {
	have, err := os.ReadFile(path)
	if err != nil || strings.TrimSpace(string(have)) == want {
		return err
	}
	if _, err := os.Stat(memory); errors.Is(err, fs.ErrNotExist) { // Else: a former one's, that is older.
		if err := os.WriteFile(memory, have, 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(path, []byte(want), 0o644)
}

func (s settings) unset(path, memory string) error {
	was, err := os.ReadFile(memory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.WriteFile(path, was, 0o644)
	}
	if err == nil {
		err = os.Remove(memory)
	}
	return err
}

// openFile is there while Open is what was asked for last.
const openFile = "open"

func (s settings) opened() bool {
	_, err := s.read(openFile)
	return err == nil
}

// hadFile is where the addresses of tunnels are remembered.
const hadFile = "addresses"

func (s settings) read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(s), name))
}

// write replaces a file, or removes it if it is to be empty.
func (s settings) write(name, text string) error {
	path := filepath.Join(string(s), name)
	if text == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(string(s), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
