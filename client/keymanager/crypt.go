package keymanager

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

const (
	hash     = crypto.SHA512
	hashName = "SHA512"
	maxPlain = 64 << 20 // Of a message that is decrypted, bytes.
)

// ErrDecrypt is returned by Decrypt for what is not an OpenPGP message, not
// encrypted to a key of the account, or damaged.
var ErrDecrypt = errors.New("the message does not open with the account's keys")

// Sign returns a detached signature over data, armored, and the name of its
// hash for RFC 3156's micalg. data is what is sent, to the byte: CRLF line
// ends.
func (k *Keys) Sign(ctx context.Context, data []byte) (armored []byte, hashAlgorithm string, err error) {
	e, err := k.signer(ctx)
	if err != nil {
		return nil, "", err
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.SignatureType, nil)
	if err != nil {
		return nil, "", err
	}
	err = openpgp.DetachSign(w, []*openpgp.Entity{e}, bytes.NewReader(data), k.config())
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, "", fmt.Errorf("signing: %w", err)
	}
	return b.Bytes(), hashName, nil
}

// EncryptSign encrypts data to all of to and signs it, armored. It uses
// SEIPDv2 when every recipient announces it. Pins of the recipients are marked
// as used. A key that has expired is an error.
func (k *Keys) EncryptSign(ctx context.Context, data []byte, to []nick.Key) (armored []byte, err error) {
	if len(to) == 0 {
		return nil, problem.Invalid.Errorf("nobody to encrypt to")
	}
	e, err := k.signer(ctx)
	if err != nil {
		return nil, err
	}
	var recipients []*openpgp.Entity
	for _, key := range to {
		r, err := binaryEntity(key.Binary)
		if err != nil {
			return nil, err
		}
		recipients = append(recipients, r)
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.MessageType, nil)
	if err != nil {
		return nil, err
	}
	plain, err := openpgp.Encrypt(w, recipients, nil, []*openpgp.Entity{e}, nil, k.config())
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	_, err = plain.Write(data)
	if err := errors.Join(err, plain.Close(), w.Close()); err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	return b.Bytes(), k.markEncrypted(ctx, to)
}

func (k *Keys) signer(ctx context.Context) (*openpgp.Entity, error) {
	own, err := k.Own(ctx)
	if err != nil {
		return nil, err
	}
	return binaryEntity(own.private)
}

// Decrypt opens a message, armored or binary, with any own key, and verifies
// the signature inside against the known keys: FindQuiet the sender's key before.
// The error is ErrDecrypt, or that of the store. A bad signature is no error.
func (k *Keys) Decrypt(ctx context.Context, message []byte) (plain []byte, sig Signature, err error) {
	own, err := k.ownRing(ctx)
	if err != nil {
		return nil, sig, err
	}
	body, err := unarmored(message)
	if err != nil {
		return nil, sig, fmt.Errorf("%w: %w", ErrDecrypt, err)
	}
	var signer pin // The last one that was asked for.
	var storeErr error
	md, err := openpgp.ReadMessage(body, ring{own, func(id uint64) openpgp.EntityList {
		p, err := k.byKeyID(ctx, id)
		if err != nil || p.Revoked {
			if !notExist(err) {
				storeErr = errors.Join(storeErr, err)
			}
			return nil
		}
		e, err := entity(p.Armored)
		if err != nil {
			storeErr = errors.Join(storeErr, err)
			return nil
		}
		signer = p
		return openpgp.EntityList{e}
	}}, nil, reading())
	if err != nil || !md.IsEncrypted {
		return nil, sig, fmt.Errorf("%w: %w", ErrDecrypt, errors.Join(err, storeErr))
	}
	plain, err = io.ReadAll(io.LimitReader(md.UnverifiedBody, maxPlain+1))
	if err != nil || len(plain) > maxPlain {
		return nil, sig, fmt.Errorf("%w: %w", ErrDecrypt, errors.Join(err))
	}
	if storeErr != nil {
		return nil, sig, storeErr
	}
	sig = judge(md)
	if sig.State == SigValid && sig.Fingerprint == signer.Fingerprint {
		err = k.mark(ctx, signer.Address, signer.Fingerprint, func(p *pin) { p.Verified = true })
	}
	return plain, sig, err
}

// ownRing returns all own private keys.
func (k *Keys) ownRing(ctx context.Context) (openpgp.EntityList, error) {
	private, err := k.private(ctx)
	if err != nil {
		return nil, err
	}
	return openpgp.ReadKeyRing(bytes.NewReader(private))
}

// OpenEnvelope opens a message of the incoming queue, sealed by an MX node of
// the provider whose public keys are mxKeys. Errors are those of
// envelope.Open.
func (k *Keys) OpenEnvelope(ctx context.Context, data []byte, mxKeys []string) (envelope.Header, []byte, error) {
	private, err := k.private(ctx)
	if err != nil {
		return envelope.Header{}, nil, err
	}
	return envelope.Open(data, private, mxKeys)
}
