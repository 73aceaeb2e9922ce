package tufrepo

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"leap.example/updater/target"
)

// An Event is a change of the repository that waits for signatures. Its
// directory holds all that a signer needs:
//
//	event.json              what it is, with the digests of what is signed
//	new/ROLE.json           metadata to be signed, without signatures
//	payload/ROLE            the very bytes to sign, for programs of others
//	base/N.root.json        every root before it
//	base/ROLE.json          what is public of the other roles
//	base/content/rollout.json  the plan of releases, if there is one
//	content/PATH            files that new metadata vouch for
//	signatures/ROLE.ID.json signatures; the only files that travel back
//
// An Event is a value in memory: later changes of the files do not change it.
type Event struct {
	Dir   string
	Name  string
	Why   string
	Made  time.Time
	Roles []string // In the order in which they are verified: root, targets, delegated.
	Files []File   // What content/ holds, or held.

	names map[string]string
	next  map[string]*signed
	base  map[string]*signed
	roots []*signed // All before, by version.
	plans map[string]*planned
	was   []byte // The public plan, while the event is made.
}

// A File is a target whose content an event brings.
type File struct {
	Path   string `json:"path"`
	Length int64  `json:"length"`
	SHA256 string `json:"sha256"`
}

// eventFile is event.json.
type eventFile struct {
	Format int               `json:"format"`
	Name   string            `json:"name"`
	Why    string            `json:"why"`
	Made   time.Time         `json:"made"`
	Roles  []eventRole       `json:"roles"`
	Files  []File            `json:"files"`
	Names  map[string]string `json:"names"` // Of keys, by ID.
}

type eventRole struct {
	Role    string `json:"role"`
	Version int64  `json:"version"`
	SHA256  string `json:"sha256"` // Of the bytes that are signed.
}

// parseEvent reads event.json.
func parseEvent(text []byte) (*eventFile, error) {
	f := &eventFile{}
	if err := decode("event.json", text, f); err != nil {
		return nil, err
	}
	if err := checkFormat("event.json", f.Format); err != nil {
		return nil, err
	}
	if !eventName.MatchString(f.Name) || len(f.Roles) == 0 || len(f.Roles) > 32 {
		return nil, fmt.Errorf("event.json has no name or no roles: %w", ErrFormat)
	}
	there := map[string]bool{}
	for _, r := range f.Roles {
		if !roleName.MatchString(r.Role) || online(r.Role) || there[r.Role] {
			return nil, fmt.Errorf("event.json: role %q cannot be signed, or is twice there: %w", r.Role, ErrFormat)
		}
		there[r.Role] = true
	}
	for _, c := range f.Files {
		if target.CheckPath(c.Path) != nil || there["/"+c.Path] || c.Length < 0 {
			return nil, fmt.Errorf("event.json: file %q has a name that is not used here, or is twice there: %w", c.Path, ErrFormat)
		}
		there["/"+c.Path] = true
	}
	return f, nil
}

// ReadEvent reads the directory of an event, and refuses one that does not hold
// what it says (ErrAltered) or that this program does not understand (ErrFormat).
func ReadEvent(dir string) (*Event, error) {
	text, err := read(filepath.Join(dir, "event.json"), maxEvent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no signing event: it has no event.json: %w", dir, err)
	}
	if err != nil {
		return nil, err
	}
	f, err := parseEvent(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	e := &Event{Dir: dir, Name: f.Name, Why: f.Why, Made: f.Made, Files: f.Files, names: f.Names, next: map[string]*signed{}, base: map[string]*signed{}}
	if err := e.readBase(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	for _, r := range f.Roles {
		if err := e.readNew(r); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		e.Roles = append(e.Roles, r.Role)
	}
	if err := e.checkFiles(); err != nil {
		return nil, err
	}
	return e, e.readPlans()
}

func limit(role string) int64 {
	if role == metadata.ROOT {
		return maxRoot
	}
	return maxTargets
}

// readNew reads what is to be signed for a role, once.
func (e *Event) readNew(r eventRole) error {
	text, err := read(filepath.Join(e.Dir, "new", r.Role+".json"), limit(r.Role))
	if err != nil {
		return err
	}
	s, err := parseRole(r.Role, text)
	if err != nil {
		return err
	}
	if s.digest() != r.SHA256 || s.version() != r.Version {
		return fmt.Errorf("new/%s.json is not what event.json names (version %d, SHA-256 %s): get the event anew: %w", r.Role, r.Version, r.SHA256, ErrAltered)
	}
	payload, err := read(filepath.Join(e.Dir, "payload", r.Role), maxTargets)
	if err == nil && string(payload) != string(s.payload) {
		err = fmt.Errorf("payload/%s is not the signed part of new/%s.json: get the event anew: %w", r.Role, r.Role, ErrAltered)
	}
	if err != nil {
		return err
	}
	if err := s.describes(); err != nil {
		return err
	}
	before := int64(0)
	if b := e.base[r.Role]; b != nil {
		before = b.version()
	}
	if s.version() != before+1 {
		return fmt.Errorf("%s goes from version %d to %d, one at a time is required: %w", r.Role, before, s.version(), ErrAltered)
	}
	e.next[r.Role] = s
	return nil
}

// readBase reads what was public when the event was made, and verifies it from
// its first root on.
func (e *Event) readBase() error {
	for version := int64(1); ; version++ {
		text, err := read(filepath.Join(e.Dir, "base", strconv.FormatInt(version, 10)+".root.json"), maxRoot)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		r, err := parseRole(metadata.ROOT, text)
		if err != nil {
			return err
		}
		if err := follows(r, e.base[metadata.ROOT], version); err != nil {
			return fmt.Errorf("base/%d.root.json: %w (%w)", version, err, ErrAltered)
		}
		e.roots = append(e.roots, r)
		e.base[metadata.ROOT] = r
	}
	root := e.base[metadata.ROOT]
	if root == nil {
		return nil
	}
	targets, err := e.readBaseRole(metadata.TARGETS, root)
	if err != nil {
		return err
	}
	for _, name := range targets.delegations() {
		if _, err := e.readBaseRole(name, targets); err != nil {
			return err
		}
	}
	return nil
}

func (e *Event) readBaseRole(role string, by *signed) (*signed, error) {
	text, err := read(filepath.Join(e.Dir, "base", role+".json"), maxTargets)
	if err != nil {
		return nil, err
	}
	s, err := parseRole(role, text)
	if err != nil {
		return nil, err
	}
	if err := s.verify(by); err != nil {
		return nil, fmt.Errorf("base/%s.json: %w (%w)", role, err, ErrAltered)
	}
	e.base[role] = s
	return s, nil
}

// follows checks a root against the one before it: TUF 5.3.4 and 5.3.5.
func follows(r, before *signed, version int64) error {
	if r.version() != version {
		return fmt.Errorf("it has version %d", r.version())
	}
	if before != nil {
		if err := r.verify(before); err != nil {
			return err
		}
	}
	return r.verify(r)
}

// checkFiles compares the files of the event with the targets it signs.
func (e *Event) checkFiles() error {
	for _, f := range e.Files {
		found := false
		for _, s := range e.next {
			if s.targets == nil {
				continue
			}
			if t := s.targets.Signed.Targets[f.Path]; t != nil {
				found = f == fileOf(f.Path, t)
			}
		}
		if !found {
			return fmt.Errorf("event.json brings %s, and no role vouches for these bytes: %w", f.Path, ErrAltered)
		}
	}
	return nil
}

// First reports whether the event founds a repository: it stands on nothing.
func (e *Event) First() bool { return len(e.roots) == 0 }

// Anchor checks that the event stands on a root that the signer trusts already:
// root is a file of root metadata that he has from before or from a person. For
// the first event there is none. Without it the changes shown prove nothing: whoever
// makes up a root can make up what is public, and so have a change look smaller.
func (e *Event) Anchor(root []byte) error {
	own, err := parseRole(metadata.ROOT, root)
	if err != nil {
		return err
	}
	if v := own.version(); v > int64(len(e.roots)) || string(e.roots[v-1].payload) != string(own.payload) {
		return fmt.Errorf("the event does not stand on the root that you trust (version %d, SHA-256 %s): it is of another repository, or forged: %w", v, own.digest(), ErrAltered)
	}
	return nil // The roots after it follow from it: readBase.
}

// Changes is what the event does to a role.
func (e *Event) Changes(role string) ([]Change, error) {
	list, err := changes(e.base[role], e.next[role], e.names)
	return append(list, e.plans[role].changes()...), err
}

// Digest is the SHA-256, in hex, of the bytes that are signed for a role.
func (e *Event) Digest(role string) string { return e.next[role].digest() }

// Version is the version of a role that is signed.
func (e *Event) Version(role string) int64 { return e.next[role].version() }
