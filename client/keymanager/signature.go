package keymanager

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"slices"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"leap.example/client/soledad"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

// A SigState says what is known of a signature.
type SigState int

// States of a signature.
const (
	SigNone    SigState = iota // Nothing is signed.
	SigValid                   // By the key of Signature.Address.
	SigInvalid                 // Not what was signed, or not a proper signature.
	SigUnknown                 // By a key that is not known, or not the one expected.
)

// String returns the name of s.
func (s SigState) String() string {
	return [...]string{"none", "valid", "invalid", "unknown"}[s]
}

// A Signature is the outcome of verifying one. A valid one is the sender's if
// Fingerprint is that of the key that Find returns for him.
type Signature struct {
	State       SigState
	Fingerprint string // Of the key, lower-case hex, when State is SigValid.
}

// A ring is the keys that one message is read with: the own ones, and those
// that find returns for the ids that the message names.
type ring struct {
	own  openpgp.EntityList
	find func(id uint64) openpgp.EntityList
}

func (r ring) list(id uint64) openpgp.EntityList {
	if id == 0 { // A hidden recipient: only own keys can be meant.
		return r.own
	}
	return slices.Concat(r.own, r.find(id))
}

// KeysById is part of openpgp.KeyRing.
//
//lint:ignore ST1003 the interface has this name
func (r ring) KeysById(id uint64) []openpgp.Key { return r.list(id).KeysById(id) }

// EntitiesById is part of openpgp.KeyRing.
//
//lint:ignore ST1003 the interface has this name
func (r ring) EntitiesById(id uint64) []*openpgp.Entity { return r.list(id).EntitiesById(id) }

// byKeyID returns the pin whose key has signed under id; NotExist when none
// has.
func (k *Keys) byKeyID(ctx context.Context, id uint64) (p pin, err error) {
	err = k.store.View(ctx, func(tx *soledad.Tx) error {
		a, err := tx.LocalGet(indexBucket, keyID(id))
		if err == nil {
			p, err = pinOf(tx, nick.Address(a))
		}
		return err
	})
	return p, err
}

// judge says what the signature of a message that was read is worth.
func judge(md *openpgp.MessageDetails) Signature {
	switch {
	case !md.IsSigned:
		return Signature{State: SigNone}
	case md.IsVerified && md.SignatureError == nil && md.SignedBy != nil:
		return Signature{State: SigValid, Fingerprint: hex.EncodeToString(md.SignedBy.Entity.PrimaryKey.Fingerprint)}
	case errors.Is(md.SignatureError, pgperrors.ErrUnknownIssuer):
		return Signature{State: SigUnknown}
	}
	return Signature{State: SigInvalid}
}

// VerifyDetached verifies an armored or binary signature over data by the key
// of from, which is looked up as by FindQuiet if it is not known. Any other signer is
// SigUnknown, and so is one whose key cannot be had now.
func (k *Keys) VerifyDetached(ctx context.Context, data, sig []byte, from nick.Address) Signature {
	from = from.Base()
	list, p, err := k.signerOf(ctx, from)
	if err != nil {
		return Signature{State: SigUnknown}
	}
	body, err := unarmored(sig)
	if err != nil {
		return Signature{State: SigInvalid}
	}
	md, err := openpgp.VerifyDetachedSignatureReader(list, bytes.NewReader(data), body, reading())
	if err == nil {
		_, err = io.Copy(io.Discard, md.UnverifiedBody)
	}
	if err != nil {
		return Signature{State: SigInvalid}
	}
	s := judge(md)
	if s.State == SigValid && from != k.address {
		if err := k.mark(ctx, p.Address, s.Fingerprint, func(p *pin) { p.Verified = true }); err != nil {
			return Signature{State: SigUnknown}
		}
	}
	return s
}

// signerOf returns the keys by which from signs: old messages are verified by
// keys that have expired.
func (k *Keys) signerOf(ctx context.Context, from nick.Address) (openpgp.EntityList, pin, error) {
	if from == k.address {
		list, err := k.ownRing(ctx)
		return list, pin{}, err
	}
	_, _, findErr := k.FindQuiet(ctx, from)
	p, _, err := k.known(ctx, from, quietBucket)
	if err != nil {
		return nil, pin{}, errors.Join(findErr, err)
	}
	if p.Revoked {
		return nil, pin{}, problem.NotExist.Errorf("the key is revoked")
	}
	e, err := entity(p.Armored)
	return openpgp.EntityList{e}, p, err
}

// unarmored returns data without armor, if it has one.
func unarmored(data []byte) (io.Reader, error) {
	r := bytes.NewReader(data)
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN PGP")) {
		return r, nil
	}
	block, err := armor.Decode(r)
	if err != nil {
		return nil, err
	}
	return block.Body, nil
}

// mark changes the pin of a if it still has the key.
func (k *Keys) mark(ctx context.Context, a nick.Address, fingerprint string, f func(*pin)) error {
	return k.store.Update(ctx, func(tx *soledad.Tx) error {
		p, err := pinOf(tx, a)
		if notExist(err) || err == nil && p.Fingerprint != fingerprint {
			return nil
		}
		if err != nil {
			return err
		}
		f(&p)
		return p.put(tx)
	})
}

func (k *Keys) markEncrypted(ctx context.Context, to []nick.Key) error {
	for _, key := range to {
		for _, a := range key.Addresses {
			if err := k.mark(ctx, a.Base(), key.Fingerprint, func(p *pin) { p.Encrypted = true }); err != nil {
				return err
			}
		}
	}
	return nil
}
