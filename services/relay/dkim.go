package relay

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/smtpline"
)

// signatureLife is how long a DKIM signature is good: longer than mail is
// under way, shorter than anybody needs to prove who wrote what.
const signatureLife = 7 * 24 * time.Hour

// Fields that are signed, RFC 6376, 5.4.1: the first whether they are there or
// not, so that none can be added.
var (
	oversigned = []string{"From", "To", "Subject", "Date", "Message-ID"}
	signed     = []string{
		"Sender", "Reply-To", "Cc", "In-Reply-To", "References", "MIME-Version", "Content-Type",
		"Content-Transfer-Encoding", "Autocrypt", "Auto-Submitted",
	}
)

// A dkimKey signs for every domain of the provider.
type dkimKey struct {
	selector string
	signer   crypto.Signer
}

func readDKIM(list []ConfigDKIM) ([]dkimKey, error) {
	var keys []dkimKey
	for _, c := range list {
		data, err := os.ReadFile(c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("DKIM key %s: %w", c.Selector, err)
		}
		signer, err := certs.ParseKey(data)
		if err != nil {
			return nil, fmt.Errorf("DKIM key %s: %w", c.Selector, err)
		}
		switch pub := signer.Public().(type) {
		case ed25519.PublicKey:
		case *rsa.PublicKey:
			if pub.Size() < 2048/8 {
				return nil, fmt.Errorf("DKIM key %s: less than 2048 bits", c.Selector)
			}
		default:
			return nil, fmt.Errorf("DKIM key %s: neither RSA nor Ed25519", c.Selector)
		}
		keys = append(keys, dkimKey{c.Selector, signer})
	}
	return keys, nil
}

// sign returns msg with a signature of each key for domain in front.
func sign(keys []dkimKey, domain string, msg []byte, now time.Time) ([]byte, error) {
	h, _, err := smtpline.ParseHeader(msg)
	if err != nil {
		return nil, err
	}
	var names []string
	for i, name := range slices.Concat(oversigned, signed) {
		n := h.Count(name)
		if i < len(oversigned) {
			n++
		}
		names = append(names, slices.Repeat([]string{name}, n)...)
	}
	var out bytes.Buffer
	for _, k := range keys {
		s, err := dkim.NewSigner(&dkim.SignOptions{
			Domain: domain, Selector: k.selector, Signer: k.signer, HeaderKeys: names, Expiration: now.Add(signatureLife),
			HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
		})
		if err != nil {
			return nil, fmt.Errorf("signing with %s: %w", k.selector, err)
		}
		_, err = s.Write(msg)
		if cerr := s.Close(); err == nil { // Close ends the signer's goroutine.
			err = cerr
		}
		if err != nil {
			return nil, fmt.Errorf("signing with %s: %w", k.selector, err)
		}
		out.WriteString(s.Signature())
	}
	out.Write(msg)
	return out.Bytes(), nil
}
