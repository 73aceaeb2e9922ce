package policy

import (
	"crypto/tls"
	"fmt"
	"io"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/problem"
)

// A Pair is the client's certificate and its private key. fmt shows none of
// it, wherever it is: it is kept behind a pointer, which fmt does not follow.
type Pair struct{ pem *[]byte }

// PairOf returns the pair that pem holds, as certs.SplitPEM reads it.
func PairOf(pem []byte) Pair { return Pair{&pem} }

// PEM returns what PairOf was given; of the zero Pair nothing.
func (p Pair) PEM() []byte {
	if p.pem == nil {
		return nil
	}
	return *p.pem
}

// TLS returns the pair as connections show it. Invalid: it is none.
func (p Pair) TLS() (tls.Certificate, error) {
	key, cert, err := certs.SplitPEM(p.PEM())
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil { // Which may tell something of the key.
		return tls.Certificate{}, problem.Invalid.Errorf("the certificate is malformed")
	}
	return pair, nil
}

// MarshalText returns the PEM.
func (p Pair) MarshalText() ([]byte, error) { return p.PEM(), nil }

// UnmarshalText takes the PEM. It is not looked at.
func (p *Pair) UnmarshalText(text []byte) error {
	*p = PairOf(append([]byte(nil), text...))
	return nil
}

// Format hides the pair from fmt, whatever the verb.
func (Pair) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "[certificate and key]") // A fmt.State reports no errors.
}
