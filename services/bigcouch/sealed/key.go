package sealed

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
)

// A KeyID names a node key and says nothing about it.
type KeyID [8]byte

// String returns the id as hex.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// A key is a node key.
type key struct {
	secret [32]byte
	id     KeyID
}

// parseKey reads a key from its one form: 64 lower-case hex digits. A newline
// may follow.
func parseKey(text []byte) (*key, error) {
	text = bytes.TrimSuffix(text, []byte("\n"))
	var k key
	if len(text) != hex.EncodedLen(len(k.secret)) || bytes.ContainsAny(text, "ABCDEF") {
		return nil, fmt.Errorf("%w: not a key: want 64 lower-case hex digits", ErrKey)
	}
	if _, err := hex.Decode(k.secret[:], text); err != nil {
		return nil, fmt.Errorf("%w: not a key: want 64 lower-case hex digits", ErrKey)
	}
	copy(k.id[:], k.derive(nil, "leap bigcouch sealed: key id", len(k.id)))
	return &k, nil
}

// derive returns n bytes that follow from the key.
func (k *key) derive(salt []byte, purpose string, n int) []byte {
	b, err := hkdf.Key(sha256.New, k.secret[:], salt, purpose, n)
	if err != nil {
		panic(err) // n is one of ours.
	}
	return b
}

// Keys are the node's keys: the current one, that seals new files, and old
// ones.
type Keys struct {
	current *key
	all     map[KeyID]*key
}

// ReadKeys reads keys from files. The first is the current one. Its errors
// wrap ErrKey.
func ReadKeys(files []string) (*Keys, error) {
	r := &Keys{all: map[KeyID]*key{}}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%w: %w: put the key of this node back, or name the file that holds it in key_files", ErrKey, err)
		}
		k, err := parseKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if r.all[k.id] != nil {
			return nil, fmt.Errorf("%w: %s holds a key that another key file holds too", ErrKey, file)
		}
		if r.current == nil {
			r.current = k
		}
		r.all[k.id] = k
	}
	if r.current == nil {
		return nil, fmt.Errorf("%w: no key file is named", ErrKey)
	}
	return r, nil
}

// Current returns the id of the key that seals new files.
func (k *Keys) Current() KeyID { return k.current.id }

// MarshalText implements encoding.TextMarshaler.
func (id KeyID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *KeyID) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(id)) {
		return fmt.Errorf("id of a key: %d bytes", len(text))
	}
	_, err := hex.Decode(id[:], text)
	return err
}
