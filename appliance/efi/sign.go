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

// algorithm is an algorithm without parameters as it stands in PKCS #7.
func algorithm(oid asn1.ObjectIdentifier) pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.NullRawValue}
}

// Strip returns a copy of a program without signature, symbols and whatever
// else follows its last section, so that the digest covers nothing but what is
// loaded, and with a checksum of zero.
func Strip(program []byte) ([]byte, error) {
	m, err := Open(bytes.NewReader(program), int64(len(program)))
	if err != nil {
		return nil, err
	}
	out := slices.Concat(program[:m.end], make([]byte, padding(m.end)))
	const symbols = 8 // Of the file header, which the optional header follows: pointer and number.
	file := m.optional - int64(binary.Size(struct{ _ [20]byte }{}))
	clear(out[file+symbols : file+symbols+8])
	clear(out[m.optional+checkSum : m.optional+checkSum+4])
	clear(out[m.optional+securityEntry : m.optional+optionalSize])
	return out, nil
}

// Sign returns a copy of an unsigned program with an Authenticode signature by
// the key of cert, which must be RSA. The result is a function of its inputs:
// there is no time and no chance in it. It is the program, filled up to a
// multiple of 8, with another security entry and the certificate table behind.
func Sign(program []byte, key crypto.Signer, cert *x509.Certificate) ([]byte, error) {
	m, err := Open(bytes.NewReader(program), int64(len(program)))
	if err != nil {
		return nil, err
	}
	if m.Signed() {
		return nil, errors.New("the program is signed already")
	}
	public, ok := key.Public().(*rsa.PublicKey)
	if !ok || !public.Equal(cert.PublicKey) {
		return nil, errors.New("the certificate is not one of this key, or the key is not RSA")
	}
	digest, err := m.Digest()
	if err != nil {
		return nil, err
	}
	signature, err := pkcs7(digest, key, cert)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	entry := binary.LittleEndian.AppendUint32(nil, uint32(tableHeader+len(signature)))
	entry = binary.LittleEndian.AppendUint16(entry, tableRevision)
	entry = binary.LittleEndian.AppendUint16(entry, tablePKCS7)
	entry = append(entry, signature...)
	entry = append(entry, make([]byte, padding(int64(len(entry))))...)

	out := slices.Concat(program, make([]byte, padding(int64(len(program)))))
	security := out[m.optional+securityEntry:]
	binary.LittleEndian.PutUint32(security, uint32(len(out)))
	binary.LittleEndian.PutUint32(security[4:], uint32(len(entry)))
	return append(out, entry...), nil
}

// pkcs7 returns the signature of a program with that digest.
func pkcs7(digest [sha256.Size]byte, key crypto.Signer, cert *x509.Certificate) ([]byte, error) {
	var content indirectData
	content.Data.Type = oidPEImageData
	// Authenticode, "SpcPeImageData": no flags, an empty file name.
	content.Data.Value.FullBytes = []byte{0x30, 9, 3, 1, 0, 0xa0, 4, 0xa2, 2, 0x80, 0}
	content.Digest.Algorithm = algorithm(oidSHA256)
	content.Digest.Digest = digest[:]
	signed, err := asn1.Marshal(content)
	if err != nil {
		return nil, err
	}
	inner, err := inside(signed)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(inner)
	sorted, err := requiredAttributes(sum)
	if err != nil {
		return nil, err
	}
	attributes := slices.Concat(sorted...)
	signature, err := signSet(attributes, key)
	if err != nil {
		return nil, err
	}

	data := signedData{
		Version:      1,
		Digests:      []pkix.AlgorithmIdentifier{algorithm(oidSHA256)},
		Content:      contentInfo{oidIndirectData, context0(signed)},
		Certificates: context0(cert.Raw),
	}
	s := signerInfo{
		Version: 1, Digest: algorithm(oidSHA256), Attributes: context0(attributes),
		Algorithm: algorithm(oidRSA), Signature: signature,
	}
	s.Signer.Issuer.FullBytes, s.Signer.Serial = cert.RawIssuer, cert.SerialNumber
	data.Signers = []signerInfo{s}
	all, err := asn1.Marshal(data)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(contentInfo{oidSignedData, context0(all)})
}

// context0 is a constructed value with the context's tag 0.
func context0(content []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: content}
}

// inside is the content of a DER value, which must be the whole of data.
func inside(data []byte) ([]byte, error) {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(data, &v)
	if err == nil && len(rest) > 0 {
		err = errors.New("data behind the value")
	}
	return v.Bytes, err
}

// requiredAttributes are the authenticated attributes of a message whose
// content has that digest. A set in DER is sorted (X.690, 11.6).
func requiredAttributes(sum [sha256.Size]byte) ([][]byte, error) {
	var all [][]byte
	for _, a := range []struct {
		oid   asn1.ObjectIdentifier
		value any
	}{{oidContentType, oidIndirectData}, {oidMessageDigest, sum[:]}} {
		value, err := asn1.Marshal(a.value)
		if err != nil {
			return nil, err
		}
		attr, err := asn1.Marshal(attribute{a.oid, []asn1.RawValue{{FullBytes: value}}})
		if err != nil {
			return nil, err
		}
		all = append(all, attr)
	}
	slices.SortFunc(all, bytes.Compare)
	return all, nil
}

// asSet is the DER of the set with that content. RFC 2315, 9.3: attributes are
// signed as a SET, though they are written with the context's tag.
func asSet(content []byte) ([]byte, error) {
	return asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: content})
}

func signSet(attributes []byte, key crypto.Signer) ([]byte, error) {
	set, err := asSet(attributes)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(set)
	// PKCS #1 v1.5 has no chance in it; the random source only blinds.
	return key.Sign(nil, sum[:], crypto.SHA256)
}
