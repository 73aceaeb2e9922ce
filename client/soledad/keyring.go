package soledad

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"

	"leap.example/services/protocol/envelope"
)

// ErrWrap is returned by OpenKeyring when no wrap of the keyring belongs to
// the key: another password, most likely.
var ErrWrap = errors.New("the keyring does not open with this key")

// A Keyring holds the symmetric keys of an account (client.md 4.4). All
// devices share it; the provider stores it sealed.
type Keyring struct {
	version int // Raised by each Seal; a lower one than seen is an old copy.
	id      envelope.LD1Key
	chain   envelope.LD1Key
	epochs  []epoch // Ascending; documents are sealed under the last.
}

type epoch struct {
	Number uint32          `json:"epoch"`
	Key    envelope.LD1Key `json:"key"`
}

// The two forms of the document "keyring". The outer one is what the server
// sees: a content key wrapped once for each wrap key, and the inner one sealed
// under it.
type (
	sealedKeyring struct {
		V      int      `json:"v"`     // 1.
		Wraps  [][]byte `json:"wraps"` // Nonce and sealed content key.
		Sealed []byte   `json:"sealed"`
	}
	plainKeyring struct {
		Version int             `json:"version"`
		ID      envelope.LD1Key `json:"id"`
		Chain   envelope.LD1Key `json:"chain"`
		Epochs  []epoch         `json:"epochs"`
	}
)

const (
	maxKeyring  = 64 << 10 // Of the sealed form, bytes.
	adWrap      = "leap/keyring/v1|wrap"
	adKeyring   = "leap/keyring/v1|keys"
	keyringForm = 1
)

// NewKeyring makes the keys of a new account.
func NewKeyring(rand io.Reader) (*Keyring, error) {
	k := &Keyring{}
	for _, key := range []*envelope.LD1Key{&k.id, &k.chain} {
		if _, err := io.ReadFull(rand, key[:]); err != nil {
			return nil, fmt.Errorf("drawing a key: %w", err)
		}
	}
	return k, k.AddEpoch(rand)
}

// AddEpoch adds a key under which everything new is sealed. What was sealed
// before still opens, and is sealed anew when it is next written. The keyring
// must be stored before the next Sync.
func (k *Keyring) AddEpoch(rand io.Reader) error {
	e := epoch{Number: uint32(len(k.epochs) + 1)}
	if _, err := io.ReadFull(rand, e.Key[:]); err != nil {
		return fmt.Errorf("drawing a key: %w", err)
	}
	k.epochs = append(k.epochs, e)
	return nil
}

// Epoch returns the number of the newest epoch, from 1.
func (k *Keyring) Epoch() int { return len(k.epochs) }

// current returns the key to seal with.
func (k *Keyring) current() envelope.EpochKey {
	e := k.epochs[len(k.epochs)-1]
	return envelope.EpochKey{Epoch: e.Number, Key: e.Key}
}

// key returns the key of an epoch.
func (k *Keyring) key(n uint32) (envelope.LD1Key, bool) {
	if n == 0 || int64(n) > int64(len(k.epochs)) {
		return envelope.LD1Key{}, false
	}
	return k.epochs[n-1].Key, true
}

// Seal returns the document that holds k, to be opened with any one of wraps.
// During a change of password these are the old and the new key (client.md
// 4.4): the keyring is stored under both, then the verifier changes at the
// provider, then it is stored under the new one.
func (k *Keyring) Seal(rand io.Reader, wraps ...[32]byte) ([]byte, error) {
	k.version++
	plain, err := json.Marshal(plainKeyring{k.version, k.id, k.chain, k.epochs})
	if err != nil {
		return nil, fmt.Errorf("encoding the keyring: %w", err)
	}
	var content [32]byte
	if _, err := io.ReadFull(rand, content[:]); err != nil {
		return nil, fmt.Errorf("drawing a key: %w", err)
	}
	out := sealedKeyring{V: keyringForm}
	for _, w := range wraps {
		b, err := sealUnder(w, content[:], adWrap, rand)
		if err != nil {
			return nil, err
		}
		out.Wraps = append(out.Wraps, b)
	}
	if out.Sealed, err = sealUnder(content, plain, adKeyring, rand); err != nil {
		return nil, err
	}
	doc, err := json.Marshal(out)
	if err == nil && len(doc) > maxKeyring {
		err = fmt.Errorf("it has %d bytes", len(doc))
	}
	if err != nil {
		return nil, fmt.Errorf("encoding the keyring: %w", err)
	}
	return doc, nil
}

// OpenKeyring opens what Seal made with one of its wrap keys. The error is
// ErrWrap if the key is another one.
func OpenKeyring(doc []byte, wrap [32]byte) (*Keyring, error) {
	var in sealedKeyring
	if len(doc) > maxKeyring || json.Unmarshal(doc, &in) != nil || in.V != keyringForm {
		return nil, fmt.Errorf("the keyring has an unknown form (version %d)", in.V)
	}
	for _, w := range in.Wraps {
		content, err := openUnder(wrap, w, adWrap)
		if err != nil || len(content) != 32 {
			continue
		}
		plain, err := openUnder([32]byte(content), in.Sealed, adKeyring)
		if err != nil {
			return nil, fmt.Errorf("opening the keyring: %w", err)
		}
		var p plainKeyring
		if err := json.Unmarshal(plain, &p); err != nil {
			return nil, fmt.Errorf("decoding the keyring: %w", err)
		}
		if len(p.Epochs) == 0 {
			return nil, errors.New("the keyring is empty")
		}
		for i, e := range p.Epochs {
			if e.Number != uint32(i+1) {
				return nil, fmt.Errorf("decoding the keyring: epoch %d in place %d", e.Number, i+1)
			}
		}
		return &Keyring{p.Version, p.ID, p.Chain, p.Epochs}, nil
	}
	return nil, ErrWrap
}

func sealUnder(key [32]byte, plain []byte, ad string, rand io.Reader) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return nil, fmt.Errorf("sealing the keyring: %w", err)
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, fmt.Errorf("drawing a nonce: %w", err)
	}
	return aead.Seal(nonce, nonce, plain, []byte(ad)), nil
}

func openUnder(key [32]byte, sealed []byte, ad string) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return nil, fmt.Errorf("opening the keyring: %w", err)
	}
	if len(sealed) < aead.NonceSize() {
		return nil, ErrWrap
	}
	return aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(ad))
}
