package dev

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"

	"leap.example/services/protocol/certs"
)

// A DKIM is one key by which the relay signs: where it lies, and what DNS says
// of it.
type DKIM struct {
	Selector  string
	Algorithm string // "rsa" or "ed25519".
	KeyFile   string
	PublicKey string // Base64 as the record carries it, RFC 6376, 3.6.1; RFC 8463, 4.2.
}

// DKIM returns the relay's signing keys. Ensure has made them.
func (p Provider) DKIM() ([]DKIM, error) {
	list := []DKIM{
		{Selector: "dev-rsa", Algorithm: "rsa", KeyFile: p.Path("relay", "dkim-rsa.pem")},
		{Selector: "dev-ed25519", Algorithm: "ed25519", KeyFile: p.Path("relay", "dkim-ed25519.pem")},
	}
	for i := range list {
		data, err := os.ReadFile(list[i].KeyFile)
		if err != nil {
			return nil, err
		}
		key, err := certs.ParseKey(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", list[i].KeyFile, err)
		}
		var public []byte
		switch k := key.Public().(type) {
		case *rsa.PublicKey:
			if public, err = x509.MarshalPKIXPublicKey(k); err != nil {
				return nil, err
			}
		case ed25519.PublicKey:
			public = k
		default:
			return nil, fmt.Errorf("%s: a key of type %T signs no mail", list[i].KeyFile, k)
		}
		list[i].PublicKey = base64.StdEncoding.EncodeToString(public)
	}
	return list, nil
}
