package tufclient

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// parse reads metadata of a type, and checks all that the workflow relies on, so
// that nothing later meets a part that is missing.
func parse[T metadata.Roles](data []byte) (m *metadata.Metadata[T], err error) {
	// go-tuf's reader panics at targets that are null, before any signature.
	defer func() {
		if r := recover(); r != nil {
			m, err = nil, fmt.Errorf("%w: %v", ErrMalformed, r)
		}
	}()
	m, err = new(metadata.Metadata[T]).FromBytes(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	switch s := any(&m.Signed).(type) {
	case *metadata.RootType:
		err = errors.Join(head(s.SpecVersion, s.Version, s.Expires), checkRoot(s))
	case *metadata.TimestampType:
		err = errors.Join(head(s.SpecVersion, s.Version, s.Expires), checkMeta(s.Meta, "snapshot.json"))
	case *metadata.SnapshotType:
		err = errors.Join(head(s.SpecVersion, s.Version, s.Expires), checkMeta(s.Meta, "targets.json"))
	case *metadata.TargetsType:
		err = errors.Join(head(s.SpecVersion, s.Version, s.Expires), checkTargets(s))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return m, nil
}

var spec = regexp.MustCompile(`^1\.[0-9]{1,4}(\.[0-9]{1,4})?$`)

// head checks what all metadata have.
func head(version string, n int64, expires time.Time) error {
	switch {
	case !spec.MatchString(version):
		return fmt.Errorf("they follow version %.20q of the specification, not 1", version)
	case n < 1:
		return fmt.Errorf("version %d", n)
	case expires.IsZero():
		return errors.New("no time of expiry")
	}
	return nil
}

func checkRoot(s *metadata.RootType) error {
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		if s.Roles[role] == nil {
			return fmt.Errorf("the root names nobody for %s", role)
		}
	}
	return nil
}

func checkMeta(files map[string]*metadata.MetaFiles, needs string) error {
	if files[needs] == nil {
		return fmt.Errorf("%s is not listed", needs)
	}
	for name, f := range files {
		if f == nil || f.Version < 1 || f.Length < 0 {
			return fmt.Errorf("no version of %.80q", name)
		}
	}
	return nil
}

// maxRole is how long the name of a role may be, in bytes.
const maxRole = 64

func checkTargets(s *metadata.TargetsType) error {
	for name, f := range s.Targets {
		if f == nil || f.Length < 0 || len(f.Hashes["sha256"]) != 32 {
			return fmt.Errorf("%.80q has no length or no SHA-256", name)
		}
	}
	if s.Delegations == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, r := range s.Delegations.Roles {
		if err := checkRole(r.Name); err != nil {
			return err
		}
		if seen[r.Name] {
			return fmt.Errorf("the role %q is delegated to twice", r.Name)
		}
		seen[r.Name] = true
	}
	if b := s.Delegations.SuccinctRoles; b != nil {
		if b.BitLength < 1 || b.BitLength > 32 { // TAP 15.
			return fmt.Errorf("bins of %d bits", b.BitLength)
		}
		return checkRole(b.NamePrefix)
	}
	return nil
}

func checkRole(name string) error {
	if name == "" || len(name) > maxRole || slices.Contains(metadata.TOP_LEVEL_ROLE_NAMES[:], name) || strings.ContainsRune(name, 0) {
		return fmt.Errorf("no role can be delegated to as %.80q", name)
	}
	return nil
}

// verify reports whether a threshold of the keys has signed m, which is a
// *metadata.Metadata of some type. Keys are told apart by what they are, not by
// their names; names that mean no key, and keys of unknown types, do not count
// and do no harm.
func verify(keys map[string]*metadata.Key, names []string, threshold int, role string, m any) error {
	if threshold < 1 {
		return fmt.Errorf("%w: a threshold of %d for %s", ErrMalformed, threshold, role)
	}
	usable := map[string]*metadata.Key{}
	for _, name := range names {
		if key := keys[name]; key != nil && known(key) {
			usable[name] = key
		}
	}
	// A delegator with nothing but the keys that count: go-tuf stops at the
	// first one that it does not know.
	d := metadata.Root()
	d.Signed.Keys = usable
	d.Signed.Roles[role] = &metadata.Role{Threshold: threshold}
	for name := range usable {
		d.Signed.Roles[role].KeyIDs = append(d.Signed.Roles[role].KeyIDs, name)
	}
	if len(usable) == 0 {
		return fmt.Errorf("%w: nobody can sign for %s", ErrThreshold, role)
	}
	if err := d.VerifyDelegate(role, m); err != nil {
		return fmt.Errorf("%w: %w", ErrThreshold, err)
	}
	return nil
}

// known reports whether a key is of a type and scheme that can be verified with.
func known(key *metadata.Key) bool {
	public, err := key.ToPublicKey()
	if err != nil {
		return false
	}
	switch p := public.(type) {
	case ed25519.PublicKey:
		return key.Scheme == metadata.KeySchemeEd25519 && len(p) == ed25519.PublicKeySize
	case *ecdsa.PublicKey:
		return key.Scheme == metadata.KeySchemeECDSA_SHA2_P256 && p.Curve == elliptic.P256() ||
			key.Scheme == metadata.KeySchemeECDSA_SHA2_P384 && p.Curve == elliptic.P384()
	case *rsa.PublicKey:
		return key.Scheme == metadata.KeySchemeRSASSA_PSS_SHA256 && p.N.BitLen() >= 2048 && p.N.BitLen() <= 8192
	}
	return false
}

// byRoot verifies a role of the top level.
func byRoot(root *metadata.Metadata[metadata.RootType], role string, m any) error {
	r := root.Signed.Roles[role]
	return verify(root.Signed.Keys, r.KeyIDs, r.Threshold, role, m)
}

// byDelegator verifies a role against the one that delegates to it.
func byDelegator(d *metadata.Delegations, role string, m any) error {
	for _, r := range d.Roles {
		if r.Name == role {
			return verify(d.Keys, r.KeyIDs, r.Threshold, role, m)
		}
	}
	if b := d.SuccinctRoles; d.Roles == nil && b != nil && b.IsDelegatedRole(role) {
		return verify(d.Keys, b.KeyIDs, b.Threshold, role, m)
	}
	return fmt.Errorf("%w: nobody can sign for %s", ErrThreshold, role)
}

// listed reports whether data is the file that is listed, if its length and
// hashes are.
func listed(f *metadata.MetaFiles, role string, data []byte) error {
	if err := f.VerifyLengthHashes(data); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrMixed, role, err)
	}
	return nil
}

// version reports whether metadata have the version that was asked for.
func version(role string, got, want int64) error {
	switch {
	case got < want:
		return fmt.Errorf("%w: %s has version %d, not %d: %w", ErrMixed, role, got, want, ErrRollback)
	case got > want:
		return fmt.Errorf("%w: %s has version %d, not %d", ErrMixed, role, got, want)
	}
	return nil
}

// fresh reports whether metadata are in force: now is before the time at which
// they expire (5.3.10, 5.4.4, 5.5.6, 5.6.5).
func fresh(role string, expires, now time.Time) error {
	if now.Before(expires) {
		return nil
	}
	return fmt.Errorf("%w: %s expired at %s, and it is %s here", ErrExpired, role, expires.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
}
