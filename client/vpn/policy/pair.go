package policy

import (
	"fmt"
	"io"
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
