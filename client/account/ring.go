package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"leap.example/client/durable"
	"leap.example/client/session"
	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
)

// ringFile holds the vault's key sealed under the account's key ring. It opens
// the store of a device whose user knows only the new password, after it was
// changed on another device.
const (
	ringFile  = "vault.ring"
	ringLabel = "leap/vault-rescue/v1"
)

// patience is how long the database of a new account may take to be made.
const patience = 2 * time.Minute

// ring returns the account's key ring, making it if the provider has none.
func (u *unlocked) ring(ctx context.Context, remote *soledad.Remote, cred *session.Credentials) (*soledad.Keyring, error) {
	_, err := os.Lstat(filepath.Join(u.dir, ringFile))
	known := err == nil
	end := time.Now().Add(patience)
	for {
		k, err := loadRing(ctx, remote, cred)
		if !errors.Is(err, problem.NotExist) {
			return k, err
		}
		if known {
			return nil, problem.Stale.Errorf("the provider has lost the account's key ring: this device keeps all that it has; tell your provider")
		}
		k, err = makeRing(ctx, remote, cred)
		switch {
		case err == nil:
			return k, nil
		case errors.Is(err, problem.Stale): // Another device was first.
			continue
		case !errors.Is(err, problem.NotExist):
			return nil, err
		}
		if time.Now().After(end) {
			return nil, problem.Unavailable.Errorf("the provider has not made the account's database yet")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// loadRing returns the key ring that the provider has; problem.NotExist if it
// has none.
func loadRing(ctx context.Context, remote *soledad.Remote, cred *session.Credentials) (*soledad.Keyring, error) {
	doc, _, err := remote.LoadKeyring(ctx)
	if err != nil {
		return nil, err
	}
	k, err := soledad.OpenKeyring(doc, cred.Secret.WrapKey())
	if errors.Is(err, soledad.ErrWrap) {
		return nil, problem.Unavailable.Errorf("the key ring does not open with this password: it was being changed on another device; finish that there")
	}
	return k, err
}

// makeRing stores a new key ring: problem.Stale if there is one by now,
// problem.NotExist while the account has no database.
func makeRing(ctx context.Context, remote *soledad.Remote, cred *session.Credentials) (*soledad.Keyring, error) {
	k, err := soledad.NewKeyring(rand.Reader)
	if err != nil {
		return nil, err
	}
	doc, err := k.Seal(rand.Reader, cred.Secret.WrapKey())
	if err != nil {
		return nil, err
	}
	_, err = remote.StoreKeyring(ctx, doc, "")
	return k, err
}

// A rewrapper stores the key ring under other wraps. It is a session.Keyring.
type rewrapper struct{ l *link }

// Rewrap implements session.Keyring.
func (r rewrapper) Rewrap(ctx context.Context, wraps ...[32]byte) error {
	for range 10 {
		_, rev, err := r.l.remote.LoadKeyring(ctx)
		if err != nil {
			return err
		}
		doc, err := r.l.ring.Seal(rand.Reader, wraps...)
		if err != nil {
			return err
		}
		if _, err = r.l.remote.StoreKeyring(ctx, doc, rev); !errors.Is(err, problem.Stale) {
			return err
		}
	}
	return problem.Unavailable.Errorf("another device keeps changing the key ring: try again")
}

// saveRescue writes ringFile.
func (u *unlocked) saveRescue(k *soledad.Keyring) error {
	key := k.Derive(ringLabel)
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce) // Never fails.
	return durable.Replace(filepath.Join(u.dir, ringFile), aead.Seal(nonce, nonce, u.dek[:], []byte(ringLabel)))
}

// rescue returns the vault's key by way of the key ring.
func (a *Account) rescue(ctx context.Context, p *session.Provider, sess *session.Session) (dek [32]byte, err error) {
	data, err := os.ReadFile(a.path(ringFile))
	if err != nil {
		return dek, fmt.Errorf("the password was changed on another device, and this one cannot follow: log in with the old one once more: %w", err)
	}
	remote, err := remoteOf(ctx, p, sess)
	if err != nil {
		return dek, err
	}
	k, err := loadRing(ctx, remote, sess.Credentials())
	if err != nil {
		return dek, err
	}
	key := k.Derive(ringLabel)
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return dek, err
	}
	n := min(aead.NonceSize(), len(data))
	plain, err := aead.Open(nil, data[:n], data[n:], []byte(ringLabel))
	if err != nil || len(plain) != len(dek) {
		return dek, problem.Invalid.Errorf("%s is damaged: log in with the old password once more", ringFile)
	}
	return [32]byte(plain), nil
}
