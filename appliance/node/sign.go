package node

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// What a signature is for. It is signed with the text, so that a text of one
// kind never passes for one of another.
const (
	ForDocument = "leap node document 1"
	ForIdentity = "leap node identity 1"
)

// Signed is a text and the provider's signature of it.
type Signed struct {
	Text      []byte `json:"text"`
	Signature []byte `json:"signature"` // Ed25519.
}

// ErrSignature is that a text was not signed with the provider's key, or for
// something else. Whoever sees it uses nothing of the text.
var ErrSignature = errors.New("the signature is not the provider's")

// signed is what is signed: the purpose, its end, the text.
func signed(purpose string, text []byte) []byte {
	return append(append([]byte(purpose), 0), text...)
}

// Sign signs a text for a purpose.
func Sign(key ed25519.PrivateKey, purpose string, text []byte) Signed {
	return Signed{text, ed25519.Sign(key, signed(purpose, text))}
}

// Open returns the text of s if key signed it for the purpose, and otherwise
// [ErrSignature].
func (s Signed) Open(key ed25519.PublicKey, purpose string) ([]byte, error) {
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, signed(purpose, s.Text), s.Signature) {
		return nil, ErrSignature
	}
	return s.Text, nil
}

// A Bundle is what is pushed to a node: a signed document and the values of
// those secrets of it that the node may not have.
type Bundle struct {
	Document Signed            `json:"document"`
	Secrets  map[string][]byte `json:"secrets,omitempty"`
}

// Missing returns the names of the secrets that d needs and that are neither in
// the bundle nor, by their digests, held by the node; and an error if a value in
// the bundle is not one that d means.
func (b Bundle) Missing(d Document, held func(digest string) bool) (missing []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(b.Secrets)) {
		want, ok := d.Secrets[name]
		if !ok {
			return nil, fmt.Errorf("secret %q is pushed, but the document does not name it", name)
		}
		if SecretDigest(b.Secrets[name]) != want {
			return nil, fmt.Errorf("secret %q is not the one that the document means: compile and deploy again", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Secrets)) {
		if _, pushed := b.Secrets[name]; !pushed && !held(d.Secrets[name]) {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

// SecretDigest is how documents name the value of a secret. Whoever reads a document
// or a status can try values: they are keys or random passwords, of which nobody can
// try enough. What operators choose themselves has to be like that too ([Guessable]).
func SecretDigest(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:])
}

// What a secret has at least that nobody guesses, if it was made by chance: 20
// characters of the 64 of base64 are 120 bits.
const (
	leastSecret = 20
	leastKinds  = 8 // Different bytes.
)

// Guessable reports whether the value of a secret is so short, or so uniform, that it
// may be found by its digest.
func Guessable(value []byte) bool {
	kinds := map[byte]bool{}
	for _, b := range bytes.TrimSpace(value) {
		kinds[b] = true
	}
	return len(bytes.TrimSpace(value)) < leastSecret || len(kinds) < leastKinds
}
