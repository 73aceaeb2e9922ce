package tufrepo

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"leap.example/updater/target"
)

// A signed is the metadata of one role, with the bytes that are signed.
type signed struct {
	role    string
	root    *metadata.Metadata[metadata.RootType]    // If the role is root.
	targets *metadata.Metadata[metadata.TargetsType] // Else.
	payload []byte                                   // Canonical JSON of the signed part.
}

// parse reads metadata of a type. go-tuf's reader panics at targets that are null,
// which anybody can write into an event.
func parse[T metadata.Roles](text []byte) (m *metadata.Metadata[T], err error) {
	defer func() {
		if r := recover(); r != nil {
			m, err = nil, fmt.Errorf("it cannot be read: %v", r)
		}
	}()
	return new(metadata.Metadata[T]).FromBytes(text)
}

// parseRole reads root, targets or a delegated role.
func parseRole(role string, text []byte) (*signed, error) {
	s := &signed{role: role}
	var err error
	if role == metadata.ROOT {
		s.root, err = parse[metadata.RootType](text)
	} else {
		s.targets, err = parse[metadata.TargetsType](text)
	}
	if err != nil {
		return nil, fmt.Errorf("metadata of %s: %w (%w)", role, err, ErrFormat)
	}
	if err := s.sound(); err != nil {
		return nil, fmt.Errorf("metadata of %s: %w: %w", role, err, ErrFormat)
	}
	return s, s.seal()
}

// sound refuses what the code behind could stumble over, and what no client can use.
func (s *signed) sound() error {
	if s.version() < 1 {
		return fmt.Errorf("version %d is below 1", s.version())
	}
	if s.root != nil {
		for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
			if s.root.Signed.Roles[role] == nil {
				return fmt.Errorf("it has no role %s", role)
			}
		}
		for name, r := range s.root.Signed.Roles {
			if r == nil {
				return fmt.Errorf("role %s is empty", name)
			}
		}
		if !s.root.Signed.ConsistentSnapshot {
			return fmt.Errorf("consistent_snapshot is off")
		}
		return soundKeys(s.root.Signed.Keys)
	}
	for path, t := range s.targets.Signed.Targets {
		if err := target.CheckPath(path); err != nil {
			return err
		}
		if t == nil || len(t.Hashes["sha256"]) != sha256.Size || t.Length < 0 {
			return fmt.Errorf("target %q has no length or no SHA-256", path)
		}
	}
	d := s.targets.Signed.Delegations
	if d == nil {
		return nil
	}
	if d.SuccinctRoles != nil {
		return fmt.Errorf("hash bins are not used here")
	}
	for _, r := range d.Roles {
		if !roleName.MatchString(r.Name) || topLevel(r.Name) {
			return fmt.Errorf("it delegates to a role %q, a name that is not used here", r.Name)
		}
	}
	return soundKeys(d.Keys)
}

func soundKeys(keys map[string]*metadata.Key) error {
	for name, k := range keys {
		if k == nil {
			return fmt.Errorf("key %q is empty", name)
		}
		if err := usable(k); err != nil {
			return err
		}
		if name != id(k) {
			return fmt.Errorf("key %q has another ID", name)
		}
	}
	return nil
}

// seal computes the bytes that are signed, of what the metadata say now.
func (s *signed) seal() (err error) {
	if s.root != nil {
		s.payload, err = cjson.EncodeCanonical(s.root.Signed)
	} else {
		s.payload, err = cjson.EncodeCanonical(s.targets.Signed)
	}
	return err
}

// bytes is the metadata as a file.
func (s *signed) bytes() ([]byte, error) {
	if s.root != nil {
		return encode(s.root)
	}
	return encode(s.targets)
}

// encode writes JSON without escaping what only HTML minds.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

func (s *signed) version() int64 {
	if s.root != nil {
		return s.root.Signed.Version
	}
	return s.targets.Signed.Version
}

func (s *signed) expires() time.Time {
	if s.root != nil {
		return s.root.Signed.Expires
	}
	return s.targets.Signed.Expires
}

func (s *signed) signatures() *[]metadata.Signature {
	if s.root != nil {
		return &s.root.Signatures
	}
	return &s.targets.Signatures
}

// digest is the SHA-256 of the bytes that are signed.
func (s *signed) digest() string { return digest(s.payload) }

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// successor is a copy without signatures, of the next version and good until then.
func (s *signed) successor(until time.Time) (*signed, error) {
	text, err := s.bytes()
	if err != nil {
		return nil, err
	}
	next, err := parseRole(s.role, text)
	if err != nil {
		return nil, err
	}
	*next.signatures() = []metadata.Signature{}
	if next.root != nil {
		next.root.Signed.Version++
		next.root.Signed.Expires = until
	} else {
		next.targets.Signed.Version++
		next.targets.Signed.Expires = until
	}
	return next, nil
}

// A keys is whose signatures a role needs.
type keys struct {
	by        string // Who says so: "root 3".
	threshold int
	ids       []string
	keys      map[string]*metadata.Key
}

// delegate is what s says of a role that it delegates to.
func (s *signed) delegate(role string) (keys, bool) {
	k := keys{by: fmt.Sprintf("%s %d", s.role, s.version())}
	if s.root != nil {
		r, ok := s.root.Signed.Roles[role]
		if ok {
			k.threshold, k.ids, k.keys = r.Threshold, r.KeyIDs, s.root.Signed.Keys
		}
		return k, ok
	}
	if d := s.targets.Signed.Delegations; d != nil {
		for _, r := range d.Roles {
			if r.Name == role {
				k.threshold, k.ids, k.keys = r.Threshold, r.KeyIDs, d.Keys
				return k, true
			}
		}
	}
	return k, false
}

// delegations are the roles that targets delegates to, in its order.
func (s *signed) delegations() (names []string) {
	if s.targets != nil && s.targets.Signed.Delegations != nil {
		for _, r := range s.targets.Signed.Delegations.Roles {
			names = append(names, r.Name)
		}
	}
	return names
}

// verify checks that s bears the signatures that its delegator demands.
func (s *signed) verify(by *signed) error {
	k, ok := by.delegate(s.role)
	if !ok {
		return fmt.Errorf("%s %d does not delegate to %s", by.role, by.version(), s.role)
	}
	return k.judge(s.role, s.payload, *s.signatures(), nil)
}

// judge counts the distinct keys that have signed.
func (k keys) judge(role string, payload []byte, sigs []metadata.Signature, names map[string]string) error {
	good := map[string]bool{}
	for _, sig := range sigs {
		key := k.keys[sig.KeyID]
		if key != nil && slices.Contains(k.ids, sig.KeyID) && verified(key, payload, sig.Signature) {
			good[sig.KeyID] = true
		}
	}
	// Two IDs of one key cannot be: IDs are computed, see soundKeys.
	if k.threshold >= 1 && len(good) >= k.threshold {
		return nil
	}
	e := &ThresholdError{Role: role, By: k.by, Have: len(good), Want: k.threshold}
	for _, id := range k.ids {
		if !good[id] {
			e.Missing = append(e.Missing, call(names, id))
		}
	}
	return e
}

// call is how people are told of a key: its name, which is a claim, and its ID.
func call(names map[string]string, id string) string {
	short := id[:min(16, len(id))]
	if name := names[id]; keyName.MatchString(name) {
		return name + " (" + short + ")"
	}
	return "(" + short + ")"
}

// targetsOf are the targets of s by path, sorted.
func targetsOf(s *signed) []string {
	if s.targets == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.targets.Signed.Targets))
}
