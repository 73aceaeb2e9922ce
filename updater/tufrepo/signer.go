package tufrepo

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"filippo.io/age"
)

// A Signer holds a private key: in an encrypted file (KeyFile), behind the socket
// of an ssh-agent (Agent), or elsewhere, with only its signatures at hand
// (Detached).
type Signer interface {
	// Public is the key whose signatures it makes.
	Public() *PublicKey
	// Sign returns a signature over payload, in the encoding of TUF: 64 bytes for
	// ed25519, ASN.1 over SHA-256 for ECDSA. A person may have to touch something:
	// ctx bounds the wait.
	Sign(ctx context.Context, payload []byte) ([]byte, error)
}

// A KeyFile is an ed25519 key that was read from a file. The file is encrypted
// with age: to a passphrase, or to an identity for jobs that nobody attends.
type KeyFile struct {
	public  *PublicKey
	private ed25519.PrivateKey
}

// secretKey is what is encrypted.
type secretKey struct {
	Format int    `json:"format"`
	Name   string `json:"name"`
	Seed   []byte `json:"seed"` // Of ed25519.
}

// NewKeyFile makes a key and keeps it in a file that is not there yet, encrypted
// to recipients.
func NewKeyFile(name, path string, recipients ...age.Recipient) (*KeyFile, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s %w, and keys are not overwritten", path, ErrExists)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	p, err := NewPublicKey(name, public)
	if err != nil {
		return nil, err
	}
	text, err := encode(secretKey{format, name, private.Seed()})
	if err != nil {
		return nil, err
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, recipients...)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return &KeyFile{p, private}, put(path, &sealed, 0o600)
}

// ReadKeyFile opens the file of a key.
func ReadKeyFile(path string, identities ...age.Identity) (*KeyFile, error) {
	sealed, err := read(path, maxSmall)
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), identities...)
	if err != nil {
		// age says only which kind of identity did not fit.
		return nil, fmt.Errorf("%s does not open: %w: is it the right passphrase or identity? (%w)", path, ErrKey, err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxSmall))
	if err != nil {
		return nil, fmt.Errorf("%s: %w (%w)", path, ErrKey, err)
	}
	var s secretKey
	if decode(path, text, &s) != nil || len(s.Seed) != ed25519.SeedSize || s.Format != format {
		// The reason could quote the secret.
		return nil, fmt.Errorf("%s opens, but holds no key of this program: %w", path, ErrKey)
	}
	private := ed25519.NewKeyFromSeed(s.Seed)
	p, err := NewPublicKey(s.Name, private.Public())
	return &KeyFile{p, private}, err
}

// Public implements Signer.
func (k *KeyFile) Public() *PublicKey { return k.public }

// Sign implements Signer.
func (k *KeyFile) Sign(_ context.Context, payload []byte) ([]byte, error) {
	return ed25519.Sign(k.private, payload), nil
}

// Detached is a key that is elsewhere, and one signature that was made there:
// over the payload file of an event, by any program.
type Detached struct {
	Key       *PublicKey
	Signature []byte
}

// Public implements Signer.
func (d Detached) Public() *PublicKey { return d.Key }

// Sign implements Signer: it knows one signature.
func (d Detached) Sign(_ context.Context, payload []byte) ([]byte, error) {
	if !verified(d.Key.Key, payload, d.Signature) {
		return nil, fmt.Errorf("the signature of %s is not over these bytes: sign the file payload/ROLE of this event: %w", d.Key.Name, ErrAltered)
	}
	return d.Signature, nil
}
