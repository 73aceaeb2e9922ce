package target

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"strings"
)

// ErrPath is that of a path that no target may have, wrapped.
var ErrPath = errors.New("this is not the path of a target")

// maxPath is how long a path may be, in bytes: a name in a mirror's file system
// has at most 255, and a SHA-256 in hex and a dot come before its last part.
const maxPath = 255 - len(".") - 2*sha256.Size

// CheckPath reports what is wrong with a path: it is relative and clean, of
// letters, digits and "._~-+" between slashes, so that on every file system and
// in every URL it stands for itself and for nothing above it.
func CheckPath(p string) error {
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._~-+/", r))
	}
	switch {
	case p == "" || len(p) > maxPath:
		return fmt.Errorf("%w: it has %d bytes, not 1 to %d", ErrPath, len(p), maxPath)
	case strings.ContainsFunc(p, bad):
		return fmt.Errorf("%w: %q has other characters than letters, digits and ._~-+/", ErrPath, p)
	case path.Clean(p) != p || strings.HasPrefix(p, "/") || p == "." || p == ".." || strings.HasPrefix(p, "../"):
		return fmt.Errorf("%w: %q leaves its directory", ErrPath, p)
	}
	return nil
}

// Path returns the path of a full release: the one that [Description.Matches].
func (d Description) Path() string {
	return path.Join(string(d.Variant), d.platform(), d.Version, d.Variant.file(d.OS))
}

// platform is the part of a path that names the machine.
func (d Description) platform() string {
	if d.Variant == Node {
		return d.Arch
	}
	return d.OS + "-" + d.Arch
}

func (v Variant) file(system string) string {
	switch {
	case v == Node:
		return "leap.efi"
	case system == "windows":
		return "leapc.exe"
	default:
		return "leapc"
	}
}

// Matches reports how the description and the path of a target differ: variant,
// machine, version and file name.
func (d Description) Matches(p string) error {
	if want := d.Path(); p != want {
		return fmt.Errorf("%w: the target %s describes itself as %s", ErrDescription, p, want)
	}
	return nil
}

// ParsePath returns what a path says of a full release. Paths of other targets
// are an error, [ErrPath].
func ParsePath(p string) (d Description, err error) {
	if err := CheckPath(p); err != nil {
		return d, err
	}
	parts := strings.Split(p, "/")
	if len(parts) != 4 {
		return d, fmt.Errorf("%w of a release: %s", ErrPath, p)
	}
	d = Description{Variant: Variant(parts[0]), Arch: parts[1], Version: parts[2]}
	if d.Variant == Client {
		d.OS, d.Arch, _ = strings.Cut(parts[1], "-")
	}
	if d.checkMachine() != nil || CheckVersion(d.Version) != nil || d.Path() != p {
		return Description{}, fmt.Errorf("%w of a release: %s", ErrPath, p)
	}
	return d, nil
}
