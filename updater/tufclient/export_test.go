package tufclient

import (
	"io/fs"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"leap.example/updater/tuftest"
)

// A faulty is a disk of package tuftest in the place of the machine's.
type faulty struct{ *tuftest.Disk }

// Open implements disk.
func (f faulty) Open(path string, mode fs.FileMode) (file, error) { return f.OpenFile(path, mode) }

// On returns the configuration with another disk.
func (c Config) On(d *tuftest.Disk) Config {
	c.disk = faulty{d}
	return c
}

// Decode reads a file of a state, and writes it again.
func Decode(data []byte) ([]byte, error) {
	s, err := decode(data)
	if err != nil {
		return nil, err
	}
	return s.encode()
}

// Salvage reads what can be read of the file of a state, and writes it again.
func Salvage(data []byte) ([]byte, error) { return salvage(data).encode() }

// Judge reads metadata as each type and has them vouch for themselves and for all
// to whom they delegate. It reports whether they are of any type.
func Judge(data []byte) bool {
	root, err := parse[metadata.RootType](data)
	if err == nil {
		for role := range root.Signed.Roles {
			if root.Signed.Roles[role] != nil {
				_ = byRoot(root, role, root)
			}
		}
		state{files: map[string][]byte{}}.follow(root, root, data)
	}
	timestamp, err1 := parse[metadata.TimestampType](data)
	if err1 == nil {
		_ = listed(timestamp.Signed.Meta["snapshot.json"], metadata.SNAPSHOT, data)
	}
	snapshot, err2 := parse[metadata.SnapshotType](data)
	if err2 == nil {
		for name, f := range snapshot.Signed.Meta {
			_ = listed(f, name, data)
		}
	}
	targets, err3 := parse[metadata.TargetsType](data)
	if err3 == nil {
		for path, f := range targets.Signed.Targets {
			_, _ = describe(path, f.Custom)
			_, _ = newSums(f.Hashes)
		}
		if d := targets.Signed.Delegations; d != nil {
			for _, path := range []string{"", "client/linux-amd64/1.0.0/leapc"} {
				for _, r := range rolesFor(d, path) {
					_ = byDelegator(d, r.Name, targets)
				}
			}
		}
	}
	return err == nil || err1 == nil || err2 == nil || err3 == nil
}
