package keymanager

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

// entity reads one armored key. Entities remember what was verified, so each
// is used by one goroutine and never kept.
func entity(armored string) (*openpgp.Entity, error) {
	list, err := openpgp.ReadArmoredKeyRing(strings.NewReader(armored))
	if err != nil || len(list) != 1 {
		return nil, problem.Invalid.Errorf("malformed openpgp key")
	}
	return list[0], nil
}

// binaryEntity reads one key without armor.
func binaryEntity(data []byte) (*openpgp.Entity, error) {
	list, err := openpgp.ReadKeyRing(bytes.NewReader(data))
	if err != nil || len(list) != 1 {
		return nil, problem.Invalid.Errorf("malformed openpgp key")
	}
	return list[0], nil
}

// signingIDs returns the ids under which e can sign. A subkey counts only if
// it has itself agreed to be one (RFC 9580, 10.1.5), or anybody could claim
// the signatures of others.
func signingIDs(e *openpgp.Entity) []string {
	ids := []string{keyID(e.PrimaryKey.KeyId)}
	for _, s := range e.Subkeys {
		if sig, err := s.Verify(time.Time{}, nil); err == nil && sig.FlagSign {
			ids = append(ids, keyID(s.PublicKey.KeyId))
		}
	}
	return ids
}

func keyID(id uint64) string { return fmt.Sprintf("%016x", id) }

// config is the way we write: AES-256, AEAD where the recipient reads it,
// SHA-512.
func (k *Keys) config() *packet.Config {
	return &packet.Config{
		Time:          k.now,
		DefaultCipher: packet.CipherAES256,
		DefaultHash:   hash,
		AEADConfig:    &packet.AEADConfig{DefaultMode: packet.AEADModeGCM},
		Algorithm:     packet.PubKeyAlgoEdDSA,
		Curve:         packet.Curve25519,
	}
}

// reading is the way we read: old messages stay readable, so the zero time
// leaves out the checks against today's clock; a signature must fit its key at
// the time it was made.
func reading() *packet.Config {
	limit := int64(maxPlain)
	return &packet.Config{Time: func() time.Time { return time.Time{} }, MaxDecompressedMessageSize: &limit}
}

// certified reports whether key carries a valid signature by old's primary
// key on one of its user ids (leap-protocols.md 8.6, last rule).
func certified(key nick.Key, old string) bool {
	by, err1 := entity(old)
	e, err2 := binaryEntity(key.Binary)
	if errors.Join(err1, err2) != nil {
		return false
	}
	for _, id := range e.Identities {
		for _, sig := range id.OtherCertifications {
			if sig.Packet.CheckKeyIdOrFingerprint(by.PrimaryKey) &&
				by.PrimaryKey.VerifyUserIdSignature(id.Name, e.PrimaryKey, sig.Packet) == nil {
				return true
			}
		}
	}
	return false
}
