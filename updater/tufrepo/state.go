package tufrepo

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A state is what a tree of files says that it is.
type state struct {
	public    string
	roots     []*signed
	roles     map[string]*signed // Root (the newest), targets, delegated.
	snapshot  *metadata.Metadata[metadata.SnapshotType]
	timestamp *metadata.Metadata[metadata.TimestampType]
}

// loadState reads the tree and checks lengths, hashes and versions; signatures
// are verify's. Nil means that nothing was published.
func loadState(public string) (*state, error) {
	st := &state{public: public, roles: map[string]*signed{}}
	text, err := st.read("timestamp.json", maxSmall)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	st.timestamp, err = parse[metadata.TimestampType](text)
	if err != nil {
		return nil, &DamageError{"timestamp.json", err.Error()}
	}
	if err := st.loadRoots(); err != nil {
		return nil, err
	}
	meta := st.timestamp.Signed.Meta["snapshot.json"]
	text, err = st.vouched("snapshot", meta, maxRoot)
	if err != nil {
		return nil, err
	}
	st.snapshot, err = parse[metadata.SnapshotType](text)
	if err != nil {
		return nil, &DamageError{"snapshot.json", err.Error()}
	}
	if st.snapshot.Signed.Version != meta.Version {
		return nil, &DamageError{"snapshot.json", "it has another version than its name"}
	}
	for _, name := range slices.Sorted(maps.Keys(st.snapshot.Signed.Meta)) {
		if err := st.loadRole(name); err != nil {
			return nil, err
		}
	}
	if st.roles[metadata.TARGETS] == nil {
		return nil, &DamageError{"snapshot.json", "it has no targets.json"}
	}
	return st, nil
}

func (st *state) read(name string, limit int64) ([]byte, error) {
	return read(filepath.Join(st.public, "metadata", name), limit)
}

// vouched reads a file of which the role above says version, length and hash.
func (st *state) vouched(role string, meta *metadata.MetaFiles, limit int64) ([]byte, error) {
	name := role + ".json"
	if meta == nil {
		return nil, &DamageError{name, "the role above does not name it"}
	}
	name = strconv.FormatInt(meta.Version, 10) + "." + name
	text, err := st.read(name, limit)
	if err != nil {
		return nil, err
	}
	if err := meta.VerifyLengthHashes(text); err != nil {
		return nil, &DamageError{name, err.Error()}
	}
	return text, nil
}

func (st *state) loadRoots() error {
	for version := int64(1); ; version++ {
		name := strconv.FormatInt(version, 10) + ".root.json"
		text, err := st.read(name, maxRoot)
		if errors.Is(err, fs.ErrNotExist) && version > 1 {
			return nil
		}
		if err != nil {
			return err
		}
		r, err := parseRole(metadata.ROOT, text)
		if err != nil {
			return &DamageError{name, err.Error()}
		}
		st.roots = append(st.roots, r)
		st.roles[metadata.ROOT] = r
	}
}

func (st *state) loadRole(name string) error {
	role := name[:max(0, len(name)-len(".json"))]
	if !roleName.MatchString(role) || role+".json" != name || role == metadata.ROOT {
		return &DamageError{"snapshot.json", fmt.Sprintf("it names a file %q", name)}
	}
	meta := st.snapshot.Signed.Meta[name]
	text, err := st.vouched(role, meta, maxTargets)
	if err != nil {
		return err
	}
	s, err := parseRole(role, text)
	if err == nil && s.version() != meta.Version {
		err = errors.New("it has another version than its name")
	}
	if err != nil {
		return &DamageError{name, err.Error()}
	}
	st.roles[role] = s
	return nil
}

// checkOffline verifies root, targets and the delegated roles as a client would.
func (st *state) checkOffline() error {
	var before *signed
	for i, r := range st.roots {
		if err := follows(r, before, int64(i+1)); err != nil {
			return fmt.Errorf("root %d: %w", i+1, err)
		}
		before = r
	}
	targets := st.roles[metadata.TARGETS]
	if err := targets.verify(before); err != nil {
		return err
	}
	want := []string{metadata.ROOT, metadata.TARGETS}
	for _, role := range targets.delegations() {
		want = append(want, role)
		s := st.roles[role]
		if s == nil {
			return &DamageError{role + ".json", "targets delegates to it, and it is missing"}
		}
		if err := s.verify(targets); err != nil {
			return err
		}
	}
	for role := range st.roles {
		if !slices.Contains(want, role) {
			return &DamageError{role + ".json", "nobody delegates to it"}
		}
	}
	return nil
}

// checkOnline verifies snapshot and timestamp.
func (st *state) checkOnline() error {
	root := st.roles[metadata.ROOT].root
	if err := root.VerifyDelegate(metadata.SNAPSHOT, st.snapshot); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := root.VerifyDelegate(metadata.TIMESTAMP, st.timestamp); err != nil {
		return fmt.Errorf("timestamp: %w", err)
	}
	return nil
}

// ends are when the roles end.
func (st *state) ends() map[string]time.Time {
	ends := map[string]time.Time{metadata.SNAPSHOT: st.snapshot.Signed.Expires, metadata.TIMESTAMP: st.timestamp.Signed.Expires}
	for role, s := range st.roles {
		ends[role] = s.expires()
	}
	return ends
}

// versions are those of the roles.
func (st *state) versions() map[string]int64 {
	v := map[string]int64{metadata.SNAPSHOT: st.snapshot.Signed.Version, metadata.TIMESTAMP: st.timestamp.Signed.Version}
	for role, s := range st.roles {
		v[role] = s.version()
	}
	return v
}

// status lists the roles, those that clients begin with first.
func (st *state) status(names map[string]string, now time.Time) (list []RoleStatus) {
	versions, root, targets := st.versions(), st.roles[metadata.ROOT], st.roles[metadata.TARGETS]
	ends := st.ends()
	for _, role := range append([]string{metadata.TIMESTAMP, metadata.SNAPSHOT}, order(slices.Collect(maps.Keys(st.roles)))...) {
		r := RoleStatus{Role: role, Version: versions[role], Expires: ends[role], Due: now.After(ends[role].Add(-Renewal(role)))}
		k, ok := root.delegate(role)
		if !ok {
			k, _ = targets.delegate(role)
			for _, d := range targets.targets.Signed.Delegations.Roles {
				if d.Name == role {
					r.Paths = d.Paths
				}
			}
		}
		r.Threshold, r.Keys = k.threshold, []string{}
		for _, id := range k.ids {
			r.Keys = append(r.Keys, call(names, id))
		}
		list = append(list, r)
	}
	return list
}

// Status is what is public now; nil if nothing was published.
func (r *Repo) Status(now time.Time) ([]RoleStatus, error) {
	st, err := loadState(r.Public())
	if err != nil || st == nil {
		return nil, err
	}
	return st.status(r.Names, now), nil
}
