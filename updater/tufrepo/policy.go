package tufrepo

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A RolePolicy is who signs a role, and for how long.
type RolePolicy struct {
	Role      string
	Keys      []*PublicKey
	Threshold int      // Of distinct keys.
	Days      int      // How long a version is good.
	Paths     []string // Of a delegated role: which targets it vouches for. It terminates.
}

// A Policy is the roles of a new repository: root, targets, snapshot, timestamp,
// and those that targets delegates to, in the order in which clients ask them.
type Policy struct {
	Name  string // Of the repository: "vendor.example".
	Roles []RolePolicy
	// Director says that the repository has no bytes of its own: it lists which
	// targets of another one may be used, and clients take what both list with
	// the same hash. One signer is enough there: he can hold back, and ship
	// nothing (docs/adr/0007).
	Director bool
}

// VendorRoles are the roles of a repository of releases, without keys. Release
// names bytes, each of its signers after a build of his own; rollout names only
// when, and is renewed often.
func VendorRoles() []RolePolicy {
	return []RolePolicy{
		{Role: metadata.ROOT, Threshold: 3, Days: 365},
		{Role: metadata.TARGETS, Threshold: 2, Days: 180},
		{Role: metadata.SNAPSHOT, Threshold: 1, Days: 14},
		{Role: metadata.TIMESTAMP, Threshold: 1, Days: 7},
		{Role: "release", Threshold: 2, Days: 90, Paths: []string{"client/*/*/*", "node/*/*/*", "deltas/*"}},
		{Role: "rollout", Threshold: 1, Days: 7, Paths: []string{"rollout.json"}},
	}
}

// DirectorRoles are the roles of a director of nodes, without keys. The same people
// sign all but the last two.
func DirectorRoles() []RolePolicy {
	return []RolePolicy{
		{Role: metadata.ROOT, Threshold: 1, Days: 365},
		{Role: metadata.TARGETS, Threshold: 1, Days: 365},
		{Role: allowRole, Threshold: 1, Days: 180, Paths: []string{"node/*/*/*"}},
		{Role: metadata.SNAPSHOT, Threshold: 1, Days: 14},
		{Role: metadata.TIMESTAMP, Threshold: 1, Days: 7},
	}
}

// allowRole lists what a director allows.
const allowRole = "allow"

var (
	roleName  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	eventName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
)

// topLevel reports whether root delegates to the role.
func topLevel(role string) bool { return slices.Contains(metadata.TOP_LEVEL_ROLE_NAMES[:], role) }

// online reports whether the role is signed by the machine that publishes.
func online(role string) bool { return role == metadata.SNAPSHOT || role == metadata.TIMESTAMP }

// Check holds a policy against the rules: every role has its threshold of
// distinct keys; root, targets and whatever names bytes need two signers at
// least, but for a director; the online key signs nothing else.
func (p Policy) Check() error {
	if !keyName.MatchString(p.Name) {
		return fmt.Errorf("%q is no name of a repository: lower-case letters, digits, dots, - and _: %w", p.Name, ErrPolicy)
	}
	offline, there := map[string]string{}, map[string]bool{}
	for _, r := range p.Roles {
		if there[r.Role] {
			return fmt.Errorf("role %s is twice there: %w", r.Role, ErrPolicy)
		}
		there[r.Role] = true
		if err := r.check(p.Director); err != nil {
			return err
		}
		for _, k := range r.Keys {
			if !online(r.Role) {
				offline[k.ID()] = r.Role
			}
		}
	}
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		if !there[role] {
			return fmt.Errorf("role %s is missing: %w", role, ErrPolicy)
		}
	}
	for _, r := range p.Roles {
		for _, k := range r.Keys {
			if other := offline[k.ID()]; online(r.Role) && other != "" {
				return fmt.Errorf("%s signs %s, which is online, and %s: whoever breaks into the server could sign both: make a key of its own: %w", k.Name, r.Role, other, ErrPolicy)
			}
		}
	}
	return nil
}

// sole are the roles for which one signer is enough: they name no bytes that
// clients run.
func sole(role string) bool { return online(role) || role == "rollout" }

func (r RolePolicy) check(director bool) error {
	switch {
	case !roleName.MatchString(r.Role):
		return fmt.Errorf("%q is no name of a role: lower-case letters, digits and -: %w", r.Role, ErrPolicy)
	case topLevel(r.Role) == (len(r.Paths) > 0):
		return fmt.Errorf("role %s: delegated roles, and no others, have paths: %w", r.Role, ErrPolicy)
	case r.Days < 1 || r.Days > 3650:
		return fmt.Errorf("role %s is good for %d days, from 1 to 3650 are possible: %w", r.Role, r.Days, ErrPolicy)
	}
	var ids []string
	for _, k := range r.Keys {
		if err := k.check(); err != nil {
			return fmt.Errorf("role %s: %w", r.Role, err)
		}
		ids = append(ids, k.ID())
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != len(r.Keys) {
		return fmt.Errorf("role %s names a key twice: %w", r.Role, ErrPolicy)
	}
	return checkThreshold(r.Role, r.Threshold, len(r.Keys), director)
}

func checkThreshold(role string, threshold, keys int, director bool) error {
	if threshold < 1 || threshold > keys {
		return fmt.Errorf("role %s wants %d of %d keys: give it more keys, or another threshold: %w", role, threshold, keys, ErrPolicy)
	}
	if threshold < 2 && !sole(role) && !director {
		return fmt.Errorf("role %s wants one signer only, who could ship anything: two at least are required: %w", role, ErrPolicy)
	}
	return nil
}

// config is what a repository says of itself, in leap-sign.json. It is the
// publisher's own: clients never see it.
type config struct {
	Format int               `json:"format"`
	Name   string            `json:"name"`
	Days   map[string]int    `json:"days"`  // By role.
	Names  map[string]string `json:"names"` // Of keys, by ID.

	Director bool `json:"director,omitempty"` // See Policy.
}

// until is when a role that is made now ends.
func (c *config) until(role string, now time.Time) time.Time {
	days := c.Days[role]
	if days == 0 {
		days = 7
	}
	return now.UTC().Truncate(time.Second).AddDate(0, 0, days)
}

// Renewal is how long before its end a role wants to be made anew.
func Renewal(role string) time.Duration {
	const day = 24 * time.Hour
	switch role {
	case metadata.ROOT:
		return 60 * day
	case metadata.TARGETS, "release", allowRole:
		return 30 * day
	case metadata.SNAPSHOT:
		return 7 * day
	}
	return 5 * day // Of seven: a job that fails two days long is seen.
}
