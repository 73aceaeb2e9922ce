package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"leap.example/services/protocol/problem"
)

// A Fingerprint is the SHA-256 of a certificate's DER form.
type Fingerprint [sha256.Size]byte

// ParseFingerprint reads "SHA256: " and 64 hex digits, in either case; the
// name may be left out. Other digests are refused as Invalid.
func ParseFingerprint(s string) (Fingerprint, error) {
	name, digits, named := strings.Cut(s, ":")
	if !named {
		name, digits = "SHA256", s
	}
	var f Fingerprint
	b, err := hex.DecodeString(strings.TrimSpace(digits))
	if err != nil || len(b) != len(f) || !strings.EqualFold(strings.TrimSpace(name), "SHA256") {
		return f, problem.Invalid.Errorf("not a SHA256 fingerprint: %q", s)
	}
	return Fingerprint(b), nil
}

// String returns f as provider.json has it.
func (f Fingerprint) String() string { return "SHA256: " + hex.EncodeToString(f[:]) }

// FingerprintOf returns the fingerprint of a certificate as provider.json has it.
func FingerprintOf(der []byte) string { return Fingerprint(sha256.Sum256(der)).String() }

// A FingerprintError says that a certificate is not the one that was named:
// somebody stands between, or the provider changed its CA. Its kind is
// Permission.
type FingerprintError struct{ Want, Got string }

func (e *FingerprintError) Error() string {
	return "the certificate is not the one expected: its fingerprint is " + e.Got + ", expected " + e.Want
}

// Unwrap returns the kind.
func (e *FingerprintError) Unwrap() error { return problem.Permission }

// CheckFingerprint returns a *FingerprintError unless fp is the fingerprint of
// the certificate der; a malformed fp is Invalid.
func CheckFingerprint(fp string, der []byte) error {
	want, err := ParseFingerprint(fp)
	if err != nil {
		return err
	}
	got := Fingerprint(sha256.Sum256(der))
	if want != got {
		return &FingerprintError{Want: want.String(), Got: got.String()}
	}
	return nil
}
