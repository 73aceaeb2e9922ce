package tufrepo

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"regexp"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A PublicKey is a signer's key, with the name that people call it by. The name
// is a claim of whoever wrote the file; what counts is the ID.
type PublicKey struct {
	Format int           `json:"format"`
	Name   string        `json:"name"`
	Key    *metadata.Key `json:"key"` // ed25519, or ECDSA on P-256.
}

var keyName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// NewPublicKey gives a key a name.
func NewPublicKey(name string, key crypto.PublicKey) (*PublicKey, error) {
	k, err := metadata.KeyFromPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", err, ErrKey)
	}
	p := &PublicKey{format, name, k}
	return p, p.check()
}

func (p *PublicKey) check() error {
	if !keyName.MatchString(p.Name) {
		return fmt.Errorf("%q is no name of a key: lower-case letters, digits, dots, - and _: %w", p.Name, ErrKey)
	}
	if p.Key == nil || len(p.Key.UnrecognizedFields)+len(p.Key.Value.UnrecognizedFields) > 0 {
		return fmt.Errorf("%s: a key with type, scheme and value, and nothing else, is required: %w", p.Name, ErrKey)
	}
	return usable(p.Key)
}

// usable refuses what not every client can verify.
func usable(k *metadata.Key) error {
	public, err := k.ToPublicKey()
	if err != nil {
		return fmt.Errorf("%w (%w)", err, ErrKey)
	}
	switch public := public.(type) {
	case ed25519.PublicKey:
		if len(public) == ed25519.PublicKeySize && k.Scheme == metadata.KeySchemeEd25519 && hex.EncodeToString(public) == k.Value.PublicKey {
			return nil
		}
	case *ecdsa.PublicKey:
		// go-tuf gives keys on P-384 the scheme of P-256: they would not verify.
		if public.Curve == elliptic.P256() && k.Type == metadata.KeyTypeECDSA_SHA2_P256 && k.Scheme == metadata.KeySchemeECDSA_SHA2_P256 {
			return nil
		}
	}
	return fmt.Errorf("only ed25519, and ECDSA on P-256, are used here: %w", ErrKey)
}

// ID is TUF's identifier of the key: SHA-256 of its canonical form.
func (p *PublicKey) ID() string { return id(p.Key) }

func id(k *metadata.Key) string {
	id, err := k.ID()
	if err != nil {
		panic(err) // A checked key has a canonical form.
	}
	return id
}

// ParsePublicKey reads a public key: a file of this package, or a PEM "PUBLIC
// KEY", which takes the name given.
func ParsePublicKey(name string, text []byte) (*PublicKey, error) {
	if block, _ := pem.Decode(text); block != nil && block.Type == "PUBLIC KEY" {
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w (%w)", err, ErrKey)
		}
		return NewPublicKey(name, key)
	}
	p := &PublicKey{}
	if err := decode("public key", text, p); err != nil {
		return nil, err
	}
	if err := checkFormat("public key", p.Format); err != nil {
		return nil, err
	}
	return p, p.check()
}

// ReadPublicKey reads the file of a public key; see ParsePublicKey.
func ReadPublicKey(name, path string) (*PublicKey, error) {
	text, err := read(path, maxSmall)
	if err != nil {
		return nil, err
	}
	p, err := ParsePublicKey(name, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// Write keeps the public key in a file that is not there yet.
func (p *PublicKey) Write(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s %w", path, ErrExists)
	}
	return putJSON(path, p, 0o644)
}

// verified reports whether sig is a signature of k over payload.
func verified(k *metadata.Key, payload, sig []byte) bool {
	public, err := k.ToPublicKey()
	if err != nil {
		return false
	}
	switch public := public.(type) {
	case ed25519.PublicKey:
		return len(public) == ed25519.PublicKeySize && ed25519.Verify(public, payload, sig)
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(payload)
		return ecdsa.VerifyASN1(public, digest[:], sig)
	}
	return false
}
