package director

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"leap.example/appliance/node"
	"leap.example/image/provider"
	"leap.example/updater/target"
	"leap.example/updater/tufrepo"
)

// Names below an instance.
const (
	repoDir   = "updates/director"
	keysDir   = "updates/keys"
	onlineKey = "updates.online"      // A secret.
	onlineNew = "updates.online.next" // The same, until it is public.
	// RootFile and VendorRootFile are the roots, below files/.
	RootFile       = "updates/director.json"
	VendorRootFile = "updates/vendor.json"
)

// ErrNone is that the provider has no director.
var ErrNone = errors.New("the provider has no director yet, which says what its nodes may run: leap update director init")

// A Director is the repository, with who works on it.
type Director struct {
	i    *provider.Instance
	v    *provider.Vault
	op   *provider.Operator
	repo *tufrepo.Repo
	now  func() time.Time
}

// Open opens the director of an instance for an operator. Without the vault and the
// operator one can look.
func Open(i *provider.Instance, v *provider.Vault, op *provider.Operator, now func() time.Time) (*Director, error) {
	r, err := tufrepo.Open(filepath.Join(i.Dir, filepath.FromSlash(repoDir)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	return &Director{i, v, op, r, now}, err
}

func keyFile(i *provider.Instance, name, ext string) string {
	return filepath.Join(i.Dir, filepath.FromSlash(keysDir), name+ext)
}

// NewKey makes the key of an operator as an admin of the director, encrypted to him
// alone.
func NewKey(i *provider.Instance, op *provider.Operator) (*tufrepo.PublicKey, error) {
	if i.Role(op) != node.RoleDeploy {
		return nil, fmt.Errorf("%s is no operator with the role deploy (leap user ls)", op.Name)
	}
	id, err := age.ParseX25519Identity(op.Identity)
	if err != nil {
		return nil, fmt.Errorf("the key of %s: %w", op.Name, err)
	}
	k, err := tufrepo.NewKeyFile(op.Name, keyFile(i, op.Name, ".age"), id.Recipient())
	if err != nil {
		return nil, err
	}
	return k.Public(), k.Public().Write(keyFile(i, op.Name, ".pub"))
}

// HasKey reports whether an operator has made a key of the director.
func HasKey(i *provider.Instance, name string) bool {
	_, err := os.Lstat(keyFile(i, name, ".pub"))
	return err == nil
}

// own opens the operator's own key.
func (d *Director) own() (*tufrepo.KeyFile, error) {
	id, err := age.ParseX25519Identity(d.op.Identity)
	if err != nil {
		return nil, fmt.Errorf("the key of %s: %w", d.op.Name, err)
	}
	k, err := tufrepo.ReadKeyFile(keyFile(d.i, d.op.Name, ".age"), id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no key of the director: \"leap update director key\" makes one, and an admin lets it in", d.op.Name)
	}
	return k, err
}

// adminKeys are the public keys of admins, by their names.
func adminKeys(i *provider.Instance, names []string) (list []*tufrepo.PublicKey, err error) {
	for _, name := range names {
		if !slices.ContainsFunc(i.Users, func(u *provider.User) bool { return u.Name == name && u.Role == node.RoleDeploy }) {
			return nil, fmt.Errorf("%s is no operator with the role deploy (leap user ls)", name)
		}
		k, err := tufrepo.ReadPublicKey(name, keyFile(i, name, ".pub"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s has no key of the director yet: he runs \"leap update director key\"", name)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, nil
}

// Absent is an error if there is a director.
func Absent(i *provider.Instance) error {
	if _, err := os.Lstat(filepath.Join(i.Dir, filepath.FromSlash(repoDir))); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s is there already: see \"leap update director status\"", repoDir), err)
	}
	return nil
}

// Init makes the director of a provider: its admins sign, so many of them. It returns
// the director with its first event, "init", which waits for signatures.
func Init(i *provider.Instance, v *provider.Vault, op *provider.Operator, admins []string, threshold int, now func() time.Time) (*Director, error) {
	if err := Absent(i); err != nil {
		return nil, err
	}
	keys, err := adminKeys(i, admins)
	if err != nil {
		return nil, err
	}
	if _, err := v.Make([]provider.Need{{Name: onlineKey, Kind: provider.Ed25519}}, now()); err != nil {
		return nil, err
	}
	online, err := online(v, onlineKey)
	if err != nil {
		return nil, err
	}
	policy := tufrepo.Policy{Name: i.Domain(""), Director: true, Roles: tufrepo.DirectorRoles()}
	for k := range policy.Roles {
		r := &policy.Roles[k]
		if r.Keys, r.Threshold = keys, threshold; r.Role == "snapshot" || r.Role == "timestamp" {
			r.Keys, r.Threshold = []*tufrepo.PublicKey{online.public}, 1
		}
	}
	dir := filepath.Join(i.Dir, filepath.FromSlash(repoDir))
	if _, err := tufrepo.Init(dir, policy, now()); err != nil {
		return nil, err
	}
	return Open(i, v, op, now)
}

// Public is the tree that nodes see.
func (d *Director) Public() string { return d.repo.Public() }

// Root returns the first root, with which nodes begin; nil while it is not public.
func (d *Director) Root() ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(d.repo.Public(), "metadata", "1.root.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// An Allowed is what the director allows.
type Allowed struct {
	Path       string            `json:"path"`
	Version    string            `json:"version"`
	Arch       string            `json:"arch"`
	Length     int64             `json:"length"`
	SHA256     string            `json:"sha256"`
	Permission target.Permission `json:"permission"`
}

// Allowed is what nodes may run now, as they see it.
func (d *Director) Allowed() ([]Allowed, error) {
	list, err := d.repo.Listings()
	if err != nil {
		return nil, err
	}
	all := []Allowed{}
	for _, l := range list {
		r, err := target.ParsePath(l.Path)
		if err != nil {
			return nil, err
		}
		p, err := target.ParsePermission(l.Custom)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Path, err)
		}
		all = append(all, Allowed{l.Path, r.Version, r.Arch, l.Length, fmt.Sprintf("%x", l.Hashes["sha256"]), p})
	}
	slices.SortFunc(all, func(a, b Allowed) int {
		if c := target.Compare(b.Version, a.Version); c != 0 {
			return c
		}
		return strings.Compare(a.Path, b.Path)
	})
	return all, nil
}
