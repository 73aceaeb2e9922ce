//go:build linux

package launch

import (
	"errors"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// Rights to files (landlock(7)). Nobody may execute or make devices.
const (
	readFile  = ll.AccessFSReadFile
	read      = readFile | ll.AccessFSReadDir
	writeFile = readFile | ll.AccessFSWriteFile | ll.AccessFSTruncate
	write     = read | writeFile | ll.AccessFSRemoveDir | ll.AccessFSRemoveFile | ll.AccessFSMakeDir |
		ll.AccessFSMakeReg | ll.AccessFSMakeSock | ll.AccessFSMakeSym | ll.AccessFSRefer
	all = 1<<17 - 1 // What may be refused.
)

// errLandlock is that the kernel is another one than that of the image.
var errLandlock = errors.New("the kernel does not restrict files")

// files restricts files, TCP listeners, signals and abstract sockets. Older
// kernels than the image's restrict less of it, but never nothing.
func files(l Limits) error {
	if v, err := ll.LandlockGetABIVersion(); err != nil || v < 1 {
		return errors.Join(errLandlock, err)
	}
	readable, err := there(l.Read)
	if err != nil {
		return err
	}
	var rules []landlock.Rule
	for _, path := range readable {
		if rules, err = rule(rules, path, readFile, read); err != nil {
			return err
		}
	}
	for _, path := range l.Write {
		if rules, err = rule(rules, path, writeFile, write); err != nil {
			return err
		}
	}
	// Go finds out by port 0, which is any free one, whether there is IPv6.
	for _, port := range append([]uint16{0}, l.Ports...) {
		rules = append(rules, landlock.BindTCP(port))
	}
	cfg, err := landlock.NewConfig(landlock.AccessFSSet(all), landlock.AccessNetSet(ll.AccessNetBindTCP), landlock.ScopedSet(ll.ScopeSignal|ll.ScopeAbstractUnixSocket))
	if err != nil {
		return err
	}
	return cfg.BestEffort().Restrict(rules...)
}

// rule adds the rule that gives rights to a path.
func rule(rules []landlock.Rule, path string, file, dir landlock.AccessFSSet) ([]landlock.Rule, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		file = dir
	}
	return append(rules, landlock.PathAccess(file, path)), nil
}
