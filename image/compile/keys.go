package compile

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"leap.example/image/provider"
	"leap.example/services/dns"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/envelope"
)

// ErrNoSigner is that the key which signs documents is missing.
var ErrNoSigner = errors.New("secrets/signer.key.age is missing: restore it from a copy of this directory; \"leap cert ca\" makes it if no node relies on it")

// Signer returns the key that signs documents and identities.
func Signer(secrets map[string][]byte) (ed25519.PrivateKey, error) {
	text, ok := secrets[provider.SignerKey]
	if !ok {
		return nil, ErrNoSigner
	}
	key, err := certs.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("secrets/signer.key.age: %w", err)
	}
	signer, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("secrets/signer.key.age: an Ed25519 key is required")
	}
	return signer, nil
}

// selectors are the DKIM keys: selector, and name of the secret.
var selectors = []struct{ selector, algorithm, secret string }{
	{"leap-rsa", "rsa", "dkim-rsa.key"},
	{"leap-ed25519", "ed25519", "dkim-ed25519.key"},
}

// dkim returns what DNS says of the keys by which the relay signs. Keys that are
// missing are left out.
func dkim(env string, secrets map[string][]byte) (list []dns.ConfigDKIM, err error) {
	for _, s := range selectors {
		name := provider.Scoped(env, s.secret)
		text, ok := secrets[name]
		if !ok {
			continue
		}
		key, err := certs.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("secrets/%s.age: %w", name, err)
		}
		var public []byte
		switch k := key.Public().(type) {
		case *rsa.PublicKey: // RFC 6376, 3.6.1.
			if public, err = x509.MarshalPKIXPublicKey(k); err != nil {
				return nil, err
			}
		case ed25519.PublicKey: // RFC 8463, 4.2.
			public = k
		}
		list = append(list, dns.ConfigDKIM{Selector: s.selector, Algorithm: s.algorithm, PublicKey: base64.StdEncoding.EncodeToString(public)})
	}
	return list, nil
}

// publicSigning returns the public half of the key that signs envelopes.
func publicSigning(armored []byte) (string, error) {
	k, err := envelope.ParseSigningKey(string(armored))
	if err != nil {
		return "", err
	}
	return k.Public()
}
