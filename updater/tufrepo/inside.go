package tufrepo

import (
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"leap.example/updater/target"
)

// RootDigest is the SHA-256, in hex, of what is signed of root metadata: what
// [target.Description] calls the vendor. It is the same with and without signatures.
// Another file is an error.
func RootDigest(root []byte) (string, error) {
	s, err := parseRole(metadata.ROOT, root)
	if err != nil {
		return "", err
	}
	return s.digest(), nil
}

// vendor is the version of the root, of those that the event stands on, that a release
// says is inside it; zero if it names none. One of another repository is not known.
func (e *Event) vendor(path string) (version int, known bool) {
	for _, s := range e.next {
		if s.targets == nil || s.targets.Signed.Targets[path] == nil {
			continue
		}
		d, err := target.Parse(*s.targets.Signed.Targets[path].Custom)
		if err != nil || d.Vendor == "" {
			return 0, err == nil
		}
		for i, r := range e.roots {
			if r.digest() == d.Vendor {
				return i + 1, true
			}
		}
		return 0, false
	}
	return 0, true // It does not vouch for it, which is said elsewhere.
}
