package update

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"leap.example/appliance/node"
	"leap.example/updater/tufclient"
)

// Names of the repositories, as files and errors have them.
const (
	vendor   = "vendor"
	director = "director"
)

// builtIn is where a root comes from that no document can replace.
const builtIn = "built in"

// errNoVendor is that nobody is trusted for releases.
var errNoVendor = errors.New("nobody is trusted for releases: this one was built without a root of the vendor's repository, and the document names none (updates.vendor.root)")

// A repositories is a client of both repositories.
type repositories struct {
	*tufclient.Client
	close func() // Closes idle connections.
}

// repositories opens both with what was trusted last.
func (u *Updater) repositories(d node.Updates) (repositories, error) {
	root, origin := u.cfg.Vendor, builtIn
	if len(root) == 0 {
		root, origin = []byte(d.Vendor.Root), digest(d.Vendor.Root)
	}
	if len(root) == 0 {
		return repositories{}, errNoVendor
	}
	for name, origin := range map[string]string{vendor: origin, director: digest(d.Director.Root)} {
		if err := u.from(name, origin); err != nil {
			return repositories{}, err
		}
	}
	from, closeFrom, err := tufclient.OpenHTTP(d.Vendor.Sources, u.cfg.Transport)
	if err != nil {
		return repositories{}, err
	}
	leave, closeLeave, err := tufclient.OpenHTTP(d.Director.Sources, u.cfg.Transport)
	if err != nil {
		return repositories{}, err
	}
	c, err := tufclient.Open(tufclient.Config{
		Repositories: []tufclient.Repository{
			{Name: vendor, Root: root, Sources: from},
			{Name: director, Root: []byte(d.Director.Root), Sources: leave},
		},
		Dir: u.cfg.Dir, Built: u.cfg.Built, Room: u.cfg.Room, Progress: u.progress,
		Damaged: u.damaged,
	})
	return repositories{c, func() { closeFrom(); closeLeave() }}, err
}

// damaged notes that what was trusted last of a repository cannot be read. It is begun
// again, but who has the node should know: its disk may be about to fail.
func (u *Updater) damaged(name string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.damage == "" {
		u.damage = fmt.Sprintf("what this node trusted of the repository %s could not be read, and it began again with what was left of it, or with the root that it was given: look at its disk, then \"leap update again\" (%v)", name, err)
		u.log.Warn("what was trusted is begun again", "repository", name, "err", err)
	}
}

// Damage says what was damaged of what the updater keeps, until an operator says that
// he has looked ([Updater.Again]). Empty: nothing.
func (u *Updater) Damage() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.damage
}

// from sees to it that what is trusted of a repository began with a root of this
// origin: what began with another one is forgotten, before the new one is noted.
func (u *Updater) from(name, origin string) error {
	path := filepath.Join(u.cfg.Dir, name+".root")
	before, err := os.ReadFile(path)
	if err == nil && string(before) == origin {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := tufclient.Forget(u.cfg.Dir, name); err != nil {
		return err
	}
	return u.disk(path, []byte(origin))
}

func digest(root string) string {
	sum := sha256.Sum256([]byte(root))
	return hex.EncodeToString(sum[:])
}
