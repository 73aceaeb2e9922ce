package efi

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// ErrSignature is what every error about a signature wraps: firmware with this
// certificate, and no other, would not start the program.
var ErrSignature = errors.New("the signature is not good")

func signatureErrorf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSignature, fmt.Sprintf(format, args...))
}

// Verify checks that the whole program was signed with the key of cert. Errors
// wrap [ErrSignature], or are those of reading.
func (m *Image) Verify(cert *x509.Certificate) error {
	public, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return signatureErrorf("the certificate's key is not RSA")
	}
	message, err := m.message()
	if err != nil {
		return err
	}
	data, content, err := parsePKCS7(message)
	if err != nil {
		return err
	}
	digest, err := m.Digest()
	if err != nil {
		return err
	}
	if !bytes.Equal(content.Digest.Digest, digest[:]) {
		return signatureErrorf("it is of another program")
	}
	s := data.Signers[0]
	if !bytes.Equal(s.Signer.Issuer.FullBytes, cert.RawIssuer) || s.Signer.Serial.Cmp(cert.SerialNumber) != 0 {
		return signatureErrorf("it is by another certificate than %s", cert.Subject)
	}
	if err := checkAttributes(s.Attributes.Bytes, data.Content.Content.Bytes); err != nil {
		return err
	}
	set, err := asSet(s.Attributes.Bytes)
	if err != nil {
		return signatureErrorf("%v", err)
	}
	sum := sha256.Sum256(set)
	if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], s.Signature); err != nil {
		return signatureErrorf("%v", err)
	}
	return nil
}

// message is the PKCS #7 message of the certificate table's only entry.
func (m *Image) message() ([]byte, error) {
	n := m.size - m.table
	if m.table == 0 {
		return nil, signatureErrorf("there is none")
	}
	if n < tableHeader || n > maxTable {
		return nil, signatureErrorf("the certificate table has %d bytes", n)
	}
	table := make([]byte, n)
	if _, err := m.r.ReadAt(table, m.table); err != nil {
		return nil, fmt.Errorf("reading the certificate table: %w", err)
	}
	length := int64(binary.LittleEndian.Uint32(table))
	if length < tableHeader || length > n || length+padding(length) != n {
		return nil, signatureErrorf("the certificate table has not one entry")
	}
	if binary.LittleEndian.Uint16(table[4:]) != tableRevision || binary.LittleEndian.Uint16(table[6:]) != tablePKCS7 {
		return nil, signatureErrorf("the certificate table holds something else")
	}
	if !zeros(table[length:]) {
		return nil, signatureErrorf("the certificate table is not filled up with zeros")
	}
	return table[tableHeader:length], nil
}

// parsePKCS7 returns the message and what it signs, when both are of the only
// form that is taken.
func parsePKCS7(message []byte) (data signedData, content indirectData, err error) {
	var outer contentInfo
	rest, err := asn1.Unmarshal(message, &outer)
	if err != nil {
		return data, content, signatureErrorf("%v", err)
	}
	// Other signers count the filling of the table as a part of the entry.
	if len(rest) >= 8 || !zeros(rest) {
		return data, content, signatureErrorf("data behind the message")
	}
	if !outer.Type.Equal(oidSignedData) {
		return data, content, signatureErrorf("the message is not signed data")
	}
	if err := unmarshal(outer.Content.Bytes, &data); err != nil {
		return data, content, err
	}
	if len(data.Signers) != 1 || !data.Content.Type.Equal(oidIndirectData) {
		return data, content, signatureErrorf("the message has %d signers, or signs something else than a program", len(data.Signers))
	}
	if err := unmarshal(data.Content.Content.Bytes, &content); err != nil {
		return data, content, err
	}
	s := data.Signers[0]
	if data.Version != 1 || s.Version != 1 || !content.Data.Type.Equal(oidPEImageData) {
		return data, content, signatureErrorf("the message is of another version or kind")
	}
	if len(data.Digests) != 1 || !is(data.Digests[0], oidSHA256) || !is(s.Digest, oidSHA256) ||
		!is(content.Digest.Algorithm, oidSHA256) || !is(s.Algorithm, oidRSA) {
		return data, content, signatureErrorf("the algorithms are not RSA and SHA-256")
	}
	return data, content, nil
}

func zeros(data []byte) bool {
	return !slices.ContainsFunc(data, func(b byte) bool { return b != 0 })
}

// is reports whether a is that algorithm, without parameters.
func is(a pkix.AlgorithmIdentifier, oid asn1.ObjectIdentifier) bool {
	parameters := a.Parameters.FullBytes
	return a.Algorithm.Equal(oid) && (len(parameters) == 0 || bytes.Equal(parameters, asn1.NullBytes))
}

func unmarshal(data []byte, v any) error {
	rest, err := asn1.Unmarshal(data, v)
	if err == nil && len(rest) > 0 {
		err = errors.New("data behind a value")
	}
	if err != nil {
		return signatureErrorf("%v", err)
	}
	return nil
}

// checkAttributes checks that the signed attributes name the content and its
// type, each once (RFC 2315, 9.2).
func checkAttributes(attributes, content []byte) error {
	inner, err := inside(content)
	if err != nil {
		return signatureErrorf("%v", err)
	}
	sum := sha256.Sum256(inner)
	want, err := requiredAttributes(sum)
	if err != nil {
		return signatureErrorf("%v", err)
	}
	for len(attributes) > 0 {
		var a asn1.RawValue
		if attributes, err = asn1.Unmarshal(attributes, &a); err != nil {
			return signatureErrorf("%v", err)
		}
		var parsed attribute
		if err := unmarshal(a.FullBytes, &parsed); err != nil {
			return err
		}
		if !parsed.Type.Equal(oidContentType) && !parsed.Type.Equal(oidMessageDigest) {
			continue
		}
		i := slices.IndexFunc(want, func(w []byte) bool { return bytes.Equal(w, a.FullBytes) })
		if i < 0 {
			return signatureErrorf("it is of other content")
		}
		want = slices.Delete(want, i, i+1)
	}
	if len(want) > 0 {
		return signatureErrorf("it does not name its content")
	}
	return nil
}
