package tufclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"leap.example/updater/target"
)

// A View is what the repositories say at the time of one check. It is used soon
// and by one goroutine at a time; a later check makes another one.
type View struct {
	client  *Client
	trusted []*trusted // As the repositories of the client.
}

// A Target is a file that is vouched for.
type Target struct {
	Path        string
	Length      int64 // Bytes.
	SHA256      [sha256.Size]byte
	Description *target.Description // Of a full release; nil: it is none.
	// Signers are the roles of the first repository that vouch for it: those
	// that delegate and, last, the one that lists it.
	Signers []string
	// Permissions are those of the repositories after the first: each may hold a
	// full release back.
	Permissions []target.Permission

	hashes metadata.Hashes
	custom *json.RawMessage
	name   string // What a source calls it.
	repo   *repository
}

// Lookup finds a target that every repository lists, with the same length and
// hashes. One that none of them lists is [ErrUnlisted], one that only some do or
// that differs is [ErrDisagreement]. A path that belongs to a full release has a
// description that says the same, or it is an error of package target.
func (v *View) Lookup(ctx context.Context, path string) (*Target, error) {
	if err := target.CheckPath(path); err != nil {
		return nil, err
	}
	var found *Target
	var errs, missing []error
	for _, t := range v.trusted {
		one, err := t.lookup(ctx, path)
		switch {
		case errors.Is(err, ErrUnlisted):
			missing = append(missing, fmt.Errorf("repository %s: %w", t.repo.Name, err))
		case err != nil:
			errs = append(errs, fmt.Errorf("repository %s: %w", t.repo.Name, err))
		case found == nil:
			found = one
		case found.Length != one.Length || found.SHA256 != one.SHA256 || !found.hashes.Equal(one.hashes):
			errs = append(errs, fmt.Errorf("%w: %s is one file for %s and another for %s", ErrDisagreement, path, found.repo.Name, one.repo.Name))
		default:
			if err := found.permit(one); err != nil {
				errs = append(errs, fmt.Errorf("repository %s: %w", t.repo.Name, err))
			}
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if found == nil {
		return nil, errors.Join(missing...)
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%w: %s lists %s: %w", ErrDisagreement, found.repo.Name, path, errors.Join(missing...))
	}
	if err := v.keep(); err != nil {
		return nil, err
	}
	if _, err := target.ParsePath(path); err == nil && found.Description == nil {
		return nil, fmt.Errorf("%w: %s has none", target.ErrDescription, path)
	}
	return found, nil
}

// Vouched finds a target that the first repository lists, whatever the others do:
// for what installs nothing by itself, as a delta, whose result is checked, or the
// plan of releases. Otherwise it is Lookup.
func (v *View) Vouched(ctx context.Context, path string) (*Target, error) {
	one := View{client: v.client, trusted: v.trusted[:1]}
	return one.Lookup(ctx, path)
}

// permit keeps the permission that another repository gives for a full release.
func (t *Target) permit(other *Target) error {
	if other.Description == nil {
		return nil
	}
	p, err := target.ParsePermission(*other.custom)
	t.Permissions = append(t.Permissions, p)
	return err
}

// due is from when on all repositories after the first permit the target.
func (t *Target) due(m target.Machine) (latest time.Time, err error) {
	for _, p := range t.Permissions {
		from, err := p.Due(m)
		if err != nil {
			return latest, err
		}
		if from.After(latest) {
			latest = from
		}
	}
	return latest, nil
}

// keep makes durable what delegated roles were read.
func (v *View) keep() error {
	for _, t := range v.trusted {
		if err := t.repo.keep(v.client.cfg.disk, v.client.cfg.Dir, t.state); err != nil {
			return err
		}
	}
	return nil
}

// reached is a role that was reached over delegations.
type reached struct {
	meta *metadata.Metadata[metadata.TargetsType]
	path []string // The roles that lead there, and it.
}

// lookup finds a target in one repository.
func (t *trusted) lookup(ctx context.Context, path string) (*Target, error) {
	var found *Target
	var bad error
	err := t.walk(ctx, path, func(r reached) bool {
		f := r.meta.Signed.Targets[path]
		if f == nil {
			return false
		}
		found = &Target{Path: path, Length: f.Length, SHA256: [sha256.Size]byte(f.Hashes["sha256"]), Signers: r.path, hashes: f.Hashes, custom: f.Custom, repo: t.repo}
		hash := ""
		if t.root.Signed.ConsistentSnapshot {
			hash = hex.EncodeToString(found.SHA256[:])
		}
		found.name = targetName(path, hash)
		found.Description, bad = describe(path, f.Custom)
		return true
	})
	if err = errors.Join(err, bad); err != nil {
		return nil, err
	}
	if found == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnlisted, path)
	}
	return found, nil
}

// describe reads the description of a full release.
func describe(path string, custom *json.RawMessage) (*target.Description, error) {
	if _, err := target.ParsePath(path); err != nil || custom == nil {
		return nil, nil // Other files have none, and a director need not repeat it.
	}
	d, err := target.Parse(*custom)
	if err == nil {
		err = d.Matches(path)
	}
	return &d, err
}
