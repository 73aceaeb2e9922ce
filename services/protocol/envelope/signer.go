package envelope

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// A SigningKey is the OpenPGP key of an MX node: version 4, EdDSA over
// Curve25519, a primary key alone. It only signs envelopes.
type SigningKey struct{ entity *openpgp.Entity }

// NewSigningKey makes a key for the mail server name, a host name, created at
// the time now. It does not expire.
func NewSigningKey(name string, rand io.Reader, now time.Time) (*SigningKey, error) {
	cfg := &packet.Config{Rand: rand, Time: func() time.Time { return now }, Algorithm: packet.PubKeyAlgoEdDSA}
	e, err := openpgp.NewEntity(name, "", "", cfg)
	if err != nil {
		return nil, fmt.Errorf("making a signing key for %s: %w", name, err)
	}
	e.Subkeys = nil // Nothing is encrypted to it.
	return usable(e)
}

// ParseSigningKey reads what Private returned.
func ParseSigningKey(armored string) (*SigningKey, error) {
	l, err := openpgp.ReadArmoredKeyRing(strings.NewReader(armored))
	if err != nil {
		return nil, fmt.Errorf("reading a signing key: %w", err)
	}
	if len(l) != 1 || l[0].PrivateKey == nil || l[0].PrivateKey.Encrypted || len(l[0].Subkeys) > 0 {
		return nil, fmt.Errorf("reading a signing key: want one private key without subkeys and pass phrase")
	}
	return usable(l[0])
}

// usable verifies the key's self-signature, which also fills the entity's
// cache: from then on it is only read, by any number of goroutines.
func usable(e *openpgp.Entity) (*SigningKey, error) {
	if _, ok := e.SigningKey(time.Time{}, nil); !ok {
		return nil, fmt.Errorf("the key of %s cannot sign", e.PrimaryKey.KeyIdString())
	}
	return &SigningKey{e}, nil
}

// Private returns the armoured private key, without a pass phrase: for a file
// that only the mail server reads.
func (k *SigningKey) Private() (string, error) {
	return armored(openpgp.PrivateKeyType, func(w io.Writer) error { return k.entity.SerializePrivateWithoutSigning(w, nil) })
}

// Public returns the armoured public key, which devices of the provider's
// users trust.
func (k *SigningKey) Public() (string, error) {
	return armored(openpgp.PublicKeyType, k.entity.Serialize)
}

func armored(kind string, write func(io.Writer) error) (string, error) {
	var b strings.Builder
	w, err := armor.Encode(&b, kind, nil)
	if err == nil {
		err = write(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return "", fmt.Errorf("exporting a signing key: %w", err)
	}
	return b.String(), nil
}

// holds reports whether k belongs to one of the keys in l.
func holds(l openpgp.EntityList, k *openpgp.Key) bool {
	return slices.ContainsFunc(l, func(e *openpgp.Entity) bool {
		return bytes.Equal(e.PrimaryKey.Fingerprint, k.Entity.PrimaryKey.Fingerprint)
	})
}
