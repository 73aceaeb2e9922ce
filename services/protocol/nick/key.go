package nick

import (
	"bytes"
	"encoding/hex"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"leap.example/services/protocol/problem"
)

// MaxKey is the greatest length of an armored key, bytes.
const MaxKey = 64 << 10

// A Key is one OpenPGP transferable public key that can be encrypted to. Its
// self-signatures were checked; whether it is expired is for the caller to
// judge, who has a clock.
type Key struct {
	Fingerprint string    // Of the primary key, lower-case hex.
	Addresses   []Address // Of the valid user ids, sorted.
	Created     time.Time
	Updated     time.Time // Of the newest self-signature.
	Expires     time.Time // When nothing can be encrypted to it any more; zero: never.
	Armored     string    // The key as it is stored and sent.
	Binary      []byte    // The same without armor.
}

// Expired reports whether k can no longer be encrypted to.
func (k Key) Expired(now time.Time) bool { return !k.Expires.IsZero() && !now.Before(k.Expires) }

// Has reports whether k claims a, with or without its suffix.
func (k Key) Has(a Address) bool {
	return slices.Contains(k.Addresses, a) || slices.Contains(k.Addresses, a.Base())
}

// A RevokedError says that a key was withdrawn by its owner. Whoever knows the
// key stops using it. Its kind is Invalid.
type RevokedError struct{ Fingerprint string }

func (e *RevokedError) Error() string { return "openpgp key is revoked" }

// Unwrap returns the kind.
func (e *RevokedError) Unwrap() error { return problem.Invalid }

const (
	armorBegin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	armorEnd   = "-----END PGP PUBLIC KEY BLOCK-----"
)

// ParseKey reads one armored public key block with nothing around it but
// white space. Private keys, several keys, more than MaxKey bytes, keys
// without a valid mail address and keys that cannot be encrypted to are
// Invalid, revoked ones a *RevokedError.
func ParseKey(armored string) (Key, error) {
	if len(armored) > MaxKey {
		return Key{}, problem.Invalid.Errorf("key has more than %d bytes", MaxKey)
	}
	s := strings.TrimSpace(armored)
	if !strings.HasPrefix(s, armorBegin) || !strings.HasSuffix(s, armorEnd) || strings.Count(s, "-----BEGIN") != 1 {
		return Key{}, problem.Invalid.Errorf("does not look like an armored pgp public key block")
	}
	block, err := armor.Decode(strings.NewReader(s + "\n"))
	if err != nil {
		return Key{}, problem.Invalid.Errorf("malformed armor")
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(block.Body); err != nil {
		return Key{}, problem.Invalid.Errorf("malformed armor")
	}
	return ParseKeyBinary(b.Bytes())
}

// ParseKeyBinary is ParseKey for a key without armor.
func ParseKeyBinary(data []byte) (Key, error) {
	if len(data) > MaxKey {
		return Key{}, problem.Invalid.Errorf("key has more than %d bytes", MaxKey)
	}
	list, err := openpgp.ReadKeyRing(bytes.NewReader(data))
	if err != nil {
		return Key{}, problem.Invalid.Errorf("malformed openpgp key")
	}
	if len(list) != 1 {
		return Key{}, problem.Invalid.Errorf("%d openpgp keys where there must be one", len(list))
	}
	return keyOf(list[0])
}

// keyOf reads what e says of itself. Every check ignores the time: the zero
// date means so to the library.
func keyOf(e *openpgp.Entity) (Key, error) {
	if e.PrivateKey != nil || slices.ContainsFunc(e.Subkeys, func(s openpgp.Subkey) bool { return s.PrivateKey != nil }) {
		return Key{}, problem.Invalid.Errorf("this is a private key")
	}
	fingerprint := hex.EncodeToString(e.PrimaryKey.Fingerprint)
	if e.Revoked(time.Time{}) {
		return Key{}, &RevokedError{fingerprint}
	}
	if _, err := e.EncryptionKeyWithError(time.Time{}, nil); err != nil {
		return Key{}, problem.Invalid.Errorf("openpgp key cannot be encrypted to")
	}
	k := Key{Fingerprint: fingerprint, Created: e.PrimaryKey.CreationTime}
	k.Updated, k.Expires = times(e)
	for _, id := range e.Identities {
		if a, err := ParseAddress(email(id.UserId.Email, id.UserId.Id)); err == nil {
			if _, err := id.Verify(time.Time{}, nil); err == nil {
				k.Addresses = append(k.Addresses, a)
			}
		}
	}
	if len(k.Addresses) == 0 {
		return Key{}, problem.Invalid.Errorf("openpgp key has no mail address")
	}
	slices.Sort(k.Addresses)
	k.Addresses = slices.Compact(k.Addresses)
	return k, k.write(e)
}

// email returns the address of a user id: "Name <a@b>" or the bare address.
func email(parsed, id string) string {
	if parsed != "" {
		return parsed
	}
	return id
}

// times returns when the newest self-signature was made, and the end of the
// primary key or of the last encryption key, whichever comes first.
func times(e *openpgp.Entity) (updated, expires time.Time) {
	var primary, last time.Time
	if sig, err := e.PrimarySelfSignature(time.Time{}, nil); err == nil {
		primary, updated = until(e.PrimaryKey.CreationTime, sig.KeyLifetimeSecs), sig.CreationTime
	}
	forever := false
	for _, s := range e.Subkeys {
		sig, err := s.Verify(time.Time{}, nil)
		if err != nil {
			continue
		}
		if sig.CreationTime.After(updated) {
			updated = sig.CreationTime
		}
		if sig.FlagEncryptCommunications || sig.FlagEncryptStorage {
			end := until(s.PublicKey.CreationTime, sig.KeyLifetimeSecs)
			forever = forever || end.IsZero()
			if end.After(last) {
				last = end
			}
		}
	}
	if forever || last.IsZero() || !primary.IsZero() && primary.Before(last) {
		return updated, primary
	}
	return updated, last
}

func until(created time.Time, life *uint32) time.Time {
	if life == nil || *life == 0 {
		return time.Time{}
	}
	return created.Add(time.Duration(*life) * time.Second)
}

// write sets Binary and Armored from the packets that were understood: what
// else the block held is not passed on. Equal keys give equal bytes: user ids
// are sorted, because the library keeps them in a map.
func (k *Key) write(e *openpgp.Entity) error {
	var bin bytes.Buffer
	if err := serialize(&bin, e); err != nil {
		return problem.Invalid.Errorf("malformed openpgp key")
	}
	k.Binary = bin.Bytes()
	var text bytes.Buffer
	w, err := armor.Encode(&text, openpgp.PublicKeyType, nil)
	if err != nil {
		return err
	}
	if _, err := w.Write(k.Binary); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	k.Armored = text.String() + "\n"
	return nil
}

// serialize writes e in the order of RFC 9580, 10.1.
func serialize(w io.Writer, e *openpgp.Entity) error {
	if err := e.PrimaryKey.Serialize(w); err != nil {
		return err
	}
	for _, sig := range slices.Concat(e.Revocations, e.DirectSignatures) {
		if err := sig.Packet.Serialize(w); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Identities)) {
		if err := e.Identities[name].Serialize(w); err != nil {
			return err
		}
	}
	for i := range e.Subkeys {
		if err := e.Subkeys[i].Serialize(w, false); err != nil {
			return err
		}
	}
	return nil
}
