package unit

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"leap.example/services/protocol/problem"
)

// homes are what units with ProtectHome do not see.
var homes = []string{"/home", "/root", "/run/user"}

// Owned refuses a program that root would run and another user could replace,
// a path that systemd would read as more than one word, and one in a home, where
// our units see nothing.
func Owned(program string) error {
	if !filepath.IsAbs(program) || strings.ContainsAny(program, " \t\n\"'\\%$") {
		return problem.Invalid.Errorf("the program's path must be absolute and without blanks, quotes and percent signs")
	}
	if err := outside(program); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return err
	}
	if err := outside(real); err != nil {
		return err
	}
	for _, path := range []string{program, real} {
		for ; ; path = filepath.Dir(path) {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			stat, ok := info.Sys().(*syscall.Stat_t)
			if !ok || stat.Uid != 0 || info.Mode().Perm()&0o022 != 0 {
				return problem.Invalid.Errorf("users other than root can write %s: put leapc where only root can, as below /usr/local or /opt, and install from there", path)
			}
			if path == filepath.Dir(path) {
				break
			}
		}
	}
	return nil
}

// outside refuses what is in a home, or is one.
func outside(path string) error {
	for _, home := range homes {
		if strings.HasPrefix(filepath.Clean(path)+"/", home+"/") {
			return problem.Invalid.Errorf("units of the system do not see %s: put leapc where only root can write, as below /usr/local or /opt, and install from there", home)
		}
	}
	return nil
}
