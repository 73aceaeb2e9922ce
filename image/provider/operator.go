package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"

	"leap.example/appliance/node"
	"leap.example/services/protocol/certs"
)

// An Operator is what one operator keeps to himself: a file on his own machine,
// outside of the instance.
type Operator struct {
	Provider string `json:"provider"` // Domain.
	Name     string `json:"name"`
	Identity string `json:"identity"` // age's, "AGE-SECRET-KEY-1…".
	Key      string `json:"key"`      // PEM, of the certificate.
}

// A Request is what somebody who wants to be an operator gives to one.
type Request struct {
	Name      string `json:"name"`
	Recipient string `json:"recipient"`
	Key       string `json:"key"` // Public, PKIX PEM.
}

// NewOperator makes the keys of an operator.
func NewOperator(domain, name string) (*Operator, error) {
	if !people.MatchString(name) {
		return nil, fmt.Errorf("%q is no name of an operator: lower-case letters, digits, _ and -", name)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	text, err := certs.EncodeKey(key)
	if err != nil {
		return nil, err
	}
	return &Operator{domain, name, id.String(), string(text)}, nil
}

// ReadOperator reads the file of an operator, which nobody else may read.
func ReadOperator(path string) (*Operator, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("your keys are not at %s: \"leap user request\" makes some, or name another file with --key", path)
	}
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others: chmod 600 it", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	op := &Operator{}
	if _, err := node.Decode(path, text, op); err != nil {
		return nil, err
	}
	return op, nil
}

// Write keeps the operator's keys in a file that is not there yet.
func (op *Operator) Write(path string) error {
	text, err := json.MarshalIndent(op, "", "  ")
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already, and keys are not overwritten: a provider of that domain was made before. If it is gone, move the file away; else keep the new keys elsewhere with --key", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return Write(filepath.Dir(path), filepath.Base(path), append(text, '\n'), 0o600)
}

// Request is what makes the operator one.
func (op *Operator) Request() (Request, error) {
	id, err := age.ParseX25519Identity(op.Identity)
	if err != nil {
		return Request{}, err
	}
	key, err := certs.ParseKey([]byte(op.Key))
	if err != nil {
		return Request{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return Request{}, err
	}
	return Request{op.Name, id.Recipient().String(), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}, nil
}

// ParseRequest reads a request.
func ParseRequest(file string, text []byte) (Request, error) {
	var r Request
	_, err := node.Decode(file, text, &r)
	return r, err
}

// public returns the key of a request.
func (r Request) public() (crypto.PublicKey, error) {
	block, _ := pem.Decode([]byte(r.Key))
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("the request has no public key in PEM")
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

// operatorLife is how long the certificate of an operator is good.
const operatorLife = 365 * 24 * time.Hour

// AddUser makes somebody an operator: users/NAME.json. If the role is deploy,
// the secrets must be rekeyed then.
func (i *Instance) AddUser(v *Vault, r Request, role string, now time.Time) (*User, error) {
	key, err := r.public()
	if err != nil {
		return nil, err
	}
	u := &User{Name: r.Name, Role: role, Recipient: r.Recipient}
	if err := i.certify(v, u, key, now); err != nil {
		return nil, err
	}
	for _, other := range i.Users {
		if other.Name == u.Name {
			return nil, fmt.Errorf("there is an operator %s already (users/%s.json)", u.Name, u.Name)
		}
	}
	if errs := i.checkUser(u, &value{from: &source{"the request", nil}, members: []member{}}); len(errs) > 0 {
		return nil, joined(errs)
	}
	if err := WriteJSON(i.Dir, "users/"+u.Name+".json", u); err != nil {
		return nil, err
	}
	i.Users = append(i.Users, u)
	return u, nil
}

// certify gives an operator a new certificate for a key.
func (i *Instance) certify(v *Vault, u *User, key crypto.PublicKey, now time.Time) error {
	ca, signer, err := i.authority(v, "operator_ca")
	if err != nil {
		return err
	}
	tmpl := certs.SMTPClient(u.Name, operatorLife, now)
	tmpl.Subject.OrganizationalUnit = []string{u.Role}
	der, err := certs.Create(tmpl, ca, key, signer, rand.Reader)
	u.Certificate = string(certs.EncodeCert(der))
	return err
}

// Role is what op may do; "" if he is no operator of this provider.
func (i *Instance) Role(op *Operator) string {
	for _, u := range i.Users {
		if u.Name == op.Name {
			return u.Role
		}
	}
	return ""
}

// Certificate is what op proves himself with to agents.
func (i *Instance) Certificate(op *Operator) (tls.Certificate, error) {
	for _, u := range i.Users {
		if u.Name == op.Name {
			pair, err := tls.X509KeyPair([]byte(u.Certificate), []byte(op.Key))
			if err != nil {
				return pair, fmt.Errorf("users/%s.json and your key do not belong together: %w", u.Name, err)
			}
			return pair, nil
		}
	}
	return tls.Certificate{}, fmt.Errorf("%s is no operator of this provider: there is no users/%s.json", op.Name, op.Name)
}
