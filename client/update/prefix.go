package update

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"leap.example/updater/target"
)

// Names in a prefix.
const (
	versionsDir = "versions"
	currentLink = "current"
	programFile = "leapc"
	vendorFile  = "vendor.json"
	knownDir    = "update"
)

// ErrPrefix is that of a program or a directory in which nothing can be updated.
var ErrPrefix = errors.New(`this leapc was not installed so that it can update itself: "leapc update install DIRECTORY" does that`)

// A Prefix is the directory in which the versions of the client are.
type Prefix string

// Of returns the prefix in which a program lies, by its path with no links in it,
// as os.Executable returns it on Linux.
func Of(program string) (Prefix, bool) {
	dir, name := filepath.Split(filepath.Clean(program))
	version := filepath.Base(dir)
	above := filepath.Dir(filepath.Clean(dir))
	if !filepath.IsAbs(program) || name != programFile || filepath.Base(above) != versionsDir || target.CheckVersion(version) != nil {
		return "", false
	}
	return Prefix(filepath.Dir(above)), true
}

// Start returns the path by which a program is to be started again: that of
// whatever version is current then, if it lies in a prefix.
func Start(program string) string {
	if p, ok := Of(program); ok {
		return p.Start()
	}
	return program
}

// Start is the path of the program that is current.
func (p Prefix) Start() string { return p.join(currentLink, programFile) }

// Program is the path of a version.
func (p Prefix) Program(version string) string { return p.join(versionsDir, version, programFile) }

// Dir is where is kept what is known of updates of this prefix.
func (p Prefix) Dir() string { return p.join(knownDir) }

func (p Prefix) join(names ...string) string {
	return filepath.Join(append([]string{string(p)}, names...)...)
}

// Current returns the version that is started. [ErrPrefix]: none is.
func (p Prefix) Current() (string, error) {
	to, err := os.Readlink(p.join(currentLink))
	if err != nil {
		return "", fmt.Errorf("%w (%w)", ErrPrefix, err)
	}
	dir, version := filepath.Split(to)
	if filepath.Clean(dir) != versionsDir || target.CheckVersion(version) != nil {
		return "", fmt.Errorf("%w (%s leads to %s)", ErrPrefix, p.join(currentLink), to)
	}
	return version, nil
}

// Versions returns those that are there whole, the oldest first.
func (p Prefix) Versions() ([]string, error) {
	entries, err := os.ReadDir(p.join(versionsDir))
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		if target.CheckVersion(e.Name()) != nil {
			continue
		}
		if _, err := os.Lstat(p.Program(e.Name())); err == nil {
			all = append(all, e.Name())
		}
	}
	slices.SortFunc(all, target.Compare)
	return all, nil
}

// Mine reports whether the prefix belongs to the user that this process runs as:
// only he updates it.
func (p Prefix) Mine() bool {
	info, err := os.Stat(string(p))
	if err != nil {
		return false
	}
	return owner(info) == os.Geteuid()
}

// Vendor reads the vendor of the prefix; without a file it is builtIn, that of the
// program.
func (p Prefix) Vendor(builtIn Vendor) (Vendor, error) {
	data, err := readSmall(p.join(vendorFile))
	if errors.Is(err, fs.ErrNotExist) {
		return builtIn, nil
	}
	if err != nil {
		return Vendor{}, err
	}
	v, err := ParseVendor(data)
	if err != nil {
		return Vendor{}, fmt.Errorf("%s: %w", p.join(vendorFile), err)
	}
	return v, nil
}
