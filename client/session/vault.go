package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/crypto/chacha20poly1305"

	"leap.example/client/durable"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/srp"
)

// vaultVersion is the format of the file. Version 1 is a JSON object
// {"vault":…,"sum":"SHA-256 of vault's text"}.
const vaultVersion = 1

// A Vault is the file that keeps the key of the local store. It is for one
// goroutine.
type Vault struct {
	path string
	file vaultFile
}

// A VaultOwner says whose vault it is. It stands in the file in clear and is
// bound to every wrap: a vault cannot be passed off as that of another account.
type VaultOwner struct {
	Login  string `json:"login"`
	Domain string `json:"domain"`
	UserID string `json:"user_id"`
}

type vaultFile struct {
	Version int        `json:"version"`
	Owner   VaultOwner `json:"owner"`
	Wraps   []wrap     `json:"wraps"` // One; two while the password changes.
}

// A wrap is the DEK sealed for one password.
type wrap struct {
	wrapHeader
	Nonce []byte `json:"nonce"` // 24 bytes.
	Box   []byte `json:"box"`   // XChaCha20-Poly1305 of the DEK.
}

type wrapHeader struct {
	Suite srp.Suite `json:"suite"`
	KDF   srp.KDF   `json:"kdf"`
	Salt  []byte    `json:"salt"`
}

// A VaultError says that the file is damaged or not a vault. The account is
// still at the provider: log in on a new vault.
type VaultError struct{ Path, Reason string }

func (e *VaultError) Error() string { return fmt.Sprintf("vault %s: %s", e.Path, e.Reason) }

// CreateVault writes a vault with a new random DEK for cred. Exist when there
// is a file at path.
func CreateVault(path string, owner VaultOwner, cred *Credentials) (v *Vault, dek [32]byte, err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = problem.Exist.Errorf("there is a vault at %s", path)
		}
		return nil, dek, err
	}
	rand.Read(dek[:]) // Never fails.
	v = &Vault{path: path, file: vaultFile{Version: vaultVersion, Owner: owner}}
	return v, dek, v.Rewrap(dek, cred)
}

// OpenVault reads the vault at path, still locked. NotExist when there is
// none, *VaultError when it is damaged.
func OpenVault(path string) (*Vault, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.NotExist.Errorf("there is no vault at %s", path)
	}
	if err != nil {
		return nil, err
	}
	v := &Vault{path: path}
	if v.file, err = parseVault(data); err != nil {
		return nil, &VaultError{path, err.Error()}
	}
	return v, nil
}

// sealed is the outer object of the file.
type sealed struct {
	Vault json.RawMessage `json:"vault"`
	Sum   []byte          `json:"sum"`
}

func parseVault(data []byte) (f vaultFile, err error) {
	var s sealed
	if json.Unmarshal(data, &s) != nil {
		return f, errors.New("not a vault, or cut short")
	}
	if sum := sha256.Sum256(s.Vault); string(sum[:]) != string(s.Sum) {
		return f, errors.New("its checksum does not fit")
	}
	if json.Unmarshal(s.Vault, &f) != nil {
		return f, errors.New("not a vault")
	}
	if f.Version != vaultVersion {
		return f, fmt.Errorf("version %d is not known to this program", f.Version)
	}
	if len(f.Wraps) == 0 || len(f.Wraps) > 2 {
		return f, fmt.Errorf("it has %d wraps", len(f.Wraps))
	}
	for _, w := range f.Wraps {
		if len(w.Nonce) != chacha20poly1305.NonceSizeX || len(w.Box) != 32+chacha20poly1305.Overhead {
			return f, errors.New("a wrap has a wrong length")
		}
	}
	return f, nil
}

// Owner returns whose vault it is.
func (v *Vault) Owner() VaultOwner { return v.file.Owner }

// Settled reports whether one password opens the vault; false after a password
// change that was interrupted.
func (v *Vault) Settled() bool { return len(v.file.Wraps) == 1 }

// Unlock returns the DEK, and the credentials to log in with. A wrong password
// is Unauthenticated.
func (v *Vault) Unlock(password string) (dek [32]byte, cred *Credentials, err error) {
	return v.try("wrong password", func(w wrap) (*Credentials, error) {
		return derive(w.Suite, v.file.Owner.Login, password, w.Salt, w.KDF)
	})
}

// Reopen is Unlock with what [srp.Secret.Keep] returned of the credentials' secret: for
// a process that takes the place of one in which the vault was open. Unauthenticated if
// it opens nothing.
func (v *Vault) Reopen(kept []byte) (dek [32]byte, cred *Credentials, err error) {
	return v.try("the vault has another password by now", func(w wrap) (*Credentials, error) {
		secret, err := srp.Restore(w.Suite, kept)
		return &Credentials{Suite: w.Suite, KDF: w.KDF, Salt: w.Salt, Secret: secret}, err
	})
}

// try opens the first wrap that opens with what f makes of it.
func (v *Vault) try(otherwise string, f func(wrap) (*Credentials, error)) (dek [32]byte, cred *Credentials, err error) {
	for _, w := range v.file.Wraps {
		if cred, err = f(w); err != nil {
			return dek, nil, err
		}
		plain, err := v.open(w, cred.Secret.WrapKey())
		if err == nil {
			return [32]byte(plain), cred, nil
		}
	}
	return dek, nil, problem.Unauthenticated.Errorf("%s", otherwise)
}

func (v *Vault) open(w wrap, key [32]byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, w.Nonce, w.Box, v.ad(w.wrapHeader))
}

// ad binds a wrap to the file's owner and to the way of its key.
func (v *Vault) ad(h wrapHeader) []byte {
	data, err := json.Marshal(struct {
		Format string
		Owner  VaultOwner
		Header wrapHeader
	}{"leap/vault/v1", v.file.Owner, h})
	if err != nil {
		panic(err) // Strings, numbers and bytes only.
	}
	return data
}

// Rewrap replaces the file by one that opens with each of creds and nothing
// else, durably. An error leaves the old file.
func (v *Vault) Rewrap(dek [32]byte, creds ...*Credentials) error {
	f := v.file
	f.Wraps = nil
	for _, c := range creds {
		key := c.Secret.WrapKey()
		aead, err := chacha20poly1305.NewX(key[:])
		if err != nil {
			return err
		}
		w := wrap{wrapHeader: wrapHeader{c.Suite, c.KDF, c.Salt}, Nonce: make([]byte, aead.NonceSize())}
		rand.Read(w.Nonce) // Never fails.
		w.Box = aead.Seal(nil, w.Nonce, dek[:], v.ad(w.wrapHeader))
		f.Wraps = append(f.Wraps, w)
	}
	inner, err := json.Marshal(f)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(inner)
	data, err := json.Marshal(sealed{inner, sum[:]})
	if err != nil {
		return err
	}
	if err := durable.Replace(v.path, data); err != nil {
		return err
	}
	v.file = f
	return nil
}
