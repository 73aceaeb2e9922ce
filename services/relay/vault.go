package relay

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"leap.example/services/protocol/record"
)

// A vault seals what the queue holds.
type vault struct {
	aead cipher.AEAD
	key  []byte // Of names.
}

func readVault(path string) (*vault, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("queue key: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != chacha20poly1305.KeySize {
		return nil, errors.New("queue key: not 32 octets in hex")
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("leap outbound names v1"))
	return &vault{aead, mac.Sum(nil)}, nil
}

// seal seals plain for the place that its kind and id name.
func (v *vault) seal(kind, id string, plain []byte) []byte {
	sealed := make([]byte, v.aead.NonceSize(), v.aead.NonceSize()+len(plain)+v.aead.Overhead())
	rand.Read(sealed)
	return v.aead.Seal(sealed, sealed, plain, place(kind, id))
}

func (v *vault) open(kind, id string, sealed []byte) ([]byte, error) {
	n := v.aead.NonceSize()
	if len(sealed) < n {
		return nil, fmt.Errorf("%s %s: sealed data is too short", kind, id)
	}
	plain, err := v.aead.Open(nil, sealed[:n], sealed[n:], place(kind, id))
	if err != nil {
		return nil, fmt.Errorf("%s %s: not sealed with this queue key", kind, id)
	}
	return plain, nil
}

func place(kind, id string) []byte { return []byte("leap outbound " + kind + " v1\x00" + id) }

// name returns an id that is the same for the same parts, and tells nothing.
func (v *vault) name(parts ...string) string {
	mac := hmac.New(sha256.New, v.key)
	for _, p := range parts {
		fmt.Fprintf(mac, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// A task is what is to be done for one recipient domain of a message. It is
// stored sealed in the row.
type task struct {
	From   string   `json:"from"` // "" is the null sender.
	To     []string `json:"to"`
	Domain string   `json:"domain"`
	UTF8   bool     `json:"utf8,omitempty"` // The server must know SMTPUTF8.
	Late   bool     `json:"late,omitempty"` // The sender was told that it is late.
}

// rowBlock hides how many recipients a row has, octets.
const rowBlock = 256

// sealTask puts t into row.
func (v *vault) sealTask(row *record.OutboundRow, t task) error {
	plain, err := json.Marshal(t)
	if err != nil {
		return err
	}
	plain = append(plain, bytes.Repeat([]byte{' '}, rowBlock-len(plain)%rowBlock)...)
	row.Sealed = base64.StdEncoding.EncodeToString(v.seal("row", row.ID, plain))
	return nil
}

func (v *vault) openTask(row record.OutboundRow) (t task, err error) {
	sealed, err := base64.StdEncoding.DecodeString(row.Sealed)
	if err != nil {
		return t, fmt.Errorf("row %s: %w", row.ID, err)
	}
	plain, err := v.open("row", row.ID, sealed)
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(plain, &t); err != nil {
		return t, fmt.Errorf("row %s: %w", row.ID, err)
	}
	return t, nil
}
