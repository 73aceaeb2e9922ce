package provider

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"leap.example/appliance/node"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/envelope"
)

const secretExt = ".age"

// maxSecret is the greatest size of a secret, bytes.
const maxSecret = 64 << 10

var secretName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)

// Scoped is the name of a secret of an environment.
func Scoped(env, name string) string {
	if env == "" {
		return name
	}
	return env + "." + name
}

// A Vault opens and keeps the secrets of an instance.
type Vault struct {
	dir        string
	identity   age.Identity
	recipients []age.Recipient
}

// ErrLocked is that an operator may not open the secrets.
var ErrLocked = errors.New("the secrets are not for you")

// ErrNoSecret is that there is no secret of a name.
var ErrNoSecret = errors.New("there is no such secret")

// Unlock returns the vault of an instance, which op opens and which is closed to
// all operators with the role deploy.
func (i *Instance) Unlock(op *Operator) (*Vault, error) {
	id, err := age.ParseX25519Identity(op.Identity)
	if err != nil {
		return nil, fmt.Errorf("the key of %s: %w", op.Name, err)
	}
	v := &Vault{dir: i.Dir, identity: id}
	if !slices.ContainsFunc(i.Users, func(u *User) bool {
		return u.Name == op.Name && u.Role == node.RoleDeploy && u.Recipient == id.Recipient().String()
	}) {
		// What he would write, others could read; what others wrote, he could not.
		return nil, fmt.Errorf("%w: %s is no operator with the role deploy and this key (leap user ls)", ErrLocked, op.Name)
	}
	for _, u := range i.Users {
		if u.Role != node.RoleDeploy {
			continue
		}
		r, err := recipient(u.Recipient)
		if err != nil {
			return nil, fmt.Errorf("users/%s.json: %w", u.Name, err)
		}
		v.recipients = append(v.recipients, r)
	}
	return v, nil
}

func recipient(s string) (*age.X25519Recipient, error) { return age.ParseX25519Recipient(s) }

func (v *Vault) path(name string) string {
	return filepath.Join(v.dir, "secrets", name+secretExt)
}

// Get returns a secret, or [ErrNoSecret].
func (v *Vault) Get(name string) ([]byte, error) {
	if !secretName.MatchString(name) {
		return nil, fmt.Errorf("%q: %w", name, ErrNoSecret)
	}
	sealed, err := os.ReadFile(v.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("secrets/%s%s: %w", name, secretExt, ErrNoSecret)
	}
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), v.identity)
	if err != nil {
		if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
			err = errors.New("it is not encrypted to you: have an operator with the role deploy run \"leap user rekey\"")
		}
		return nil, fmt.Errorf("secrets/%s%s: %w", name, secretExt, err)
	}
	value, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	if err == nil && len(value) > maxSecret {
		err = fmt.Errorf("a secret has at most %d bytes", maxSecret)
	}
	if err != nil {
		return nil, fmt.Errorf("secrets/%s%s: %w", name, secretExt, err)
	}
	return value, nil
}

// Put keeps a secret.
func (v *Vault) Put(name string, value []byte) error {
	if !secretName.MatchString(name) || len(value) == 0 || len(value) > maxSecret {
		return fmt.Errorf("secret %q: a name of lower-case letters, digits, dots and dashes and a value of 1 to %d bytes are required", name, maxSecret)
	}
	var sealed bytes.Buffer
	recipients := make([]age.Recipient, len(v.recipients))
	copy(recipients, v.recipients)
	w, err := age.Encrypt(&sealed, recipients...)
	if err != nil {
		return err
	}
	if _, err := w.Write(value); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return Write(v.dir, "secrets/"+name+secretExt, sealed.Bytes(), 0o600)
}

// Names are those of all secrets, sorted.
func (v *Vault) Names() ([]string, error) {
	paths, err := filepath.Glob(v.path("*"))
	for k, p := range paths {
		paths[k] = strings.TrimSuffix(filepath.Base(p), secretExt)
	}
	slices.Sort(paths)
	return paths, err
}

// All returns every secret by its name.
func (v *Vault) All() (map[string][]byte, error) {
	names, err := v.Names()
	if err != nil {
		return nil, err
	}
	all := map[string][]byte{}
	for _, name := range names {
		if all[name], err = v.Get(name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Rekey encrypts every secret anew, to those who are operators now.
func (v *Vault) Rekey() error {
	all, err := v.All()
	if err != nil {
		return err
	}
	for name, value := range all {
		if err := v.Put(name, value); err != nil {
			return err
		}
	}
	return nil
}

// A Kind is how a secret is made.
type Kind string

// Kinds of secrets.
const (
	Password Kind = "password"    // 24 random bytes in hex.
	Hex32    Kind = "key"         // 32 random bytes in hex.
	P256     Kind = "P-256 key"   // PKCS#8 PEM.
	Ed25519  Kind = "Ed25519 key" // PKCS#8 PEM.
	RSA      Kind = "RSA key"     // 2048 bits, PKCS#8 PEM.
	OpenPGP  Kind = "OpenPGP key" // Armored, signs envelopes.
	// WireGuard is base64, as of wg(8).
	WireGuard Kind = "WireGuard key"
)

// A Need is a secret that has to be there.
type Need struct {
	Name string
	Kind Kind
	For  string // Of OpenPGP: the host that signs.
}

// has reports whether there is a secret.
func (v *Vault) has(name string) bool {
	_, err := os.Stat(v.path(name))
	return err == nil
}

// Make makes what is needed and missing, and returns its names.
func (v *Vault) Make(needs []Need, now time.Time) (made []string, err error) {
	for _, n := range needs {
		if v.has(n.Name) {
			continue
		}
		value, err := n.New(now)
		if err != nil {
			return made, fmt.Errorf("making the secret %s: %w", n.Name, err)
		}
		if err := v.Put(n.Name, value); err != nil {
			return made, err
		}
		made = append(made, n.Name)
	}
	return made, nil
}

// New makes a value of what is needed, and keeps it nowhere.
func (n Need) New(now time.Time) ([]byte, error) {
	switch n.Kind {
	case Password:
		return random(24), nil
	case Hex32:
		return random(32), nil
	case P256:
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		return certs.EncodeKey(k)
	case Ed25519:
		_, k, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		return certs.EncodeKey(k)
	case RSA:
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		return certs.EncodeKey(k)
	case WireGuard:
		k, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		return base64.StdEncoding.AppendEncode(nil, k.Bytes()), nil
	case OpenPGP:
		k, err := envelope.NewSigningKey(n.For, rand.Reader, now)
		if err != nil {
			return nil, err
		}
		armored, err := k.Private()
		return []byte(armored), err
	}
	return nil, fmt.Errorf("unknown kind %q", n.Kind)
}

// random returns n random bytes in hex.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // Never fails.
	return []byte(hex.EncodeToString(b))
}

// firstVault is that of an instance which has no operators yet.
func (i *Instance) firstVault(op *Operator, r age.Recipient) (*Vault, error) {
	id, err := age.ParseX25519Identity(op.Identity)
	return &Vault{dir: i.Dir, identity: id, recipients: []age.Recipient{r}}, err
}
