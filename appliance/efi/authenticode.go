package efi

import (
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
)

// Object identifiers of the signature. The first three are Microsoft's.
var (
	oidIndirectData  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	oidPEImageData   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15}
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
)

// The header of an entry of the certificate table: length, revision, type.
const (
	tableHeader   = 8
	tableRevision = 0x0200
	tablePKCS7    = 0x0002
	maxTable      = 1 << 16
)

// indirectData is the signed content: the digest of the program (Authenticode,
// "SpcIndirectDataContent").
type indirectData struct {
	Data struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	Digest struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
}

// RFC 2315, 7: ContentInfo.
type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,tag:0"`
}

// RFC 2315, 9.1: SignedData.
type signedData struct {
	Version      int
	Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
	Content      contentInfo
	Certificates asn1.RawValue `asn1:"optional,tag:0"`
	Signers      []signerInfo  `asn1:"set"`
}

// RFC 2315, 9.2: SignerInfo.
type signerInfo struct {
	Version int
	Signer  struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	Digest     pkix.AlgorithmIdentifier
	Attributes asn1.RawValue `asn1:"optional,tag:0"`
	Algorithm  pkix.AlgorithmIdentifier
	Signature  []byte
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

// Digest is the Authenticode digest, the one that firmware computes: SHA-256
// over the file without its checksum, its security entry and its certificate
// table, as if the file were filled up with zeros to a multiple of 8. A signed
// program and the same program unsigned have the same digest.
func (m *Image) Digest() ([sha256.Size]byte, error) {
	end := m.size
	if m.table != 0 {
		end = m.table
	}
	h := sha256.New()
	for _, part := range [][2]int64{
		{0, m.optional + checkSum},
		{m.optional + checkSum + 4, m.optional + securityEntry},
		{m.optional + optionalSize, end},
	} {
		if _, err := io.Copy(h, io.NewSectionReader(m.r, part[0], part[1]-part[0])); err != nil {
			return [sha256.Size]byte{}, fmt.Errorf("reading the program: %w", err)
		}
	}
	h.Write(make([]byte, padding(end)))
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// padding is what is missing to a multiple of 8.
func padding(n int64) int64 { return -n & 7 }
