package node

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// An Identity is what a node knows before it is given a document: who it is,
// whom it obeys, and how it is reached. It is read once, from a small disk that
// is attached to the machine, and kept. It holds the node's own key and no
// other secret.
type Identity struct {
	Schema    int       `json:"schema"`   // Required: [Schema].
	Provider  string    `json:"provider"` // Domain. Required.
	Node      string    `json:"node"`     // Name. Required.
	Signer    []byte    `json:"signer"`   // Ed25519 key that verifies documents. Required.
	Interface Interface `json:"interface"`
	Agent     Agent     `json:"agent"`
	Time      Time      `json:"time,omitzero"` // Until there is a document.
	// Certificate, PEM, is signed by the provider's node authority for the name
	// [ServerName]; Key, PEM, is its key. Required.
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	// Reinstall allows a node that has an identity of this provider, or cannot read
	// its own, to take this one instead and to lose everything that it holds.
	Reinstall bool `json:"reinstall,omitempty"`
	// Written is when an identity was made that says to reinstall. A node follows
	// each once, and none that is older than its own.
	Written time.Time `json:"written,omitzero"`
}

// ServerName is the name in the certificate of a node's agent.
func ServerName(node, provider string) string { return node + ".node." + provider }

// Fingerprint is what people compare to know a node by its certificate, PEM: the
// SHA-256 of its public key (SubjectPublicKeyInfo) in base64.
func Fingerprint(certificate string) (string, error) {
	block, _ := pem.Decode([]byte(certificate))
	if block == nil {
		return "", errors.New("the certificate is not in PEM")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	return KeyFingerprint(c), nil
}

// fingerprintKind is how a fingerprint begins.
const fingerprintKind = "SHA256:"

// KeyFingerprint is [Fingerprint] of a certificate that was read.
func KeyFingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return fingerprintKind + base64.RawStdEncoding.EncodeToString(sum[:])
}

// ParseIdentity reads the text of an identity strictly.
func ParseIdentity(text []byte) (Identity, error) {
	var id Identity
	s, err := Decode("identity", text, &id)
	if err != nil {
		return Identity{}, err
	}
	c := checker{s: s}
	c.schema(id.Schema)
	c.names(id.Provider, id.Node)
	if len(id.Signer) != ed25519.PublicKeySize {
		c.failf("/signer", "an Ed25519 public key has %d bytes", ed25519.PublicKeySize)
	}
	c.iface("/interface", id.Interface)
	c.agent(id.Agent)
	c.time(id.Time)
	if id.Certificate == "" || id.Key == "" {
		c.failf("/certificate", "certificate and key are required")
	}
	return id, errors.Join(c.errs...)
}

// The disk of an identity: a magic, the length of what follows, and a [Signed]
// as JSON, filled with zeros up to its size.
const (
	IdentityDiskSize = 1 << 20
	identityMagic    = "LEAPID\x001"
	identityHeader   = len(identityMagic) + 4
)

// Errors of [ReadIdentityDisk].
var (
	// ErrNoIdentity is that a disk is some other disk.
	ErrNoIdentity = errors.New("this disk holds no identity")
	// ErrIdentityDisk is that it holds what is no whole identity.
	ErrIdentityDisk = errors.New("the identity on this disk is damaged: write it anew")
)

// IdentityDisk returns the content of a disk with a signed identity.
func IdentityDisk(s Signed) ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	if len(text) > IdentityDiskSize-identityHeader {
		return nil, fmt.Errorf("the identity has %d bytes, more than its disk", len(text))
	}
	disk := make([]byte, IdentityDiskSize)
	n := copy(disk, identityMagic)
	binary.BigEndian.PutUint32(disk[n:], uint32(len(text)))
	copy(disk[identityHeader:], text)
	return disk, nil
}

// ReadIdentityDisk returns the signed identity at the beginning of a disk, of
// which at most the first [IdentityDiskSize] bytes are given. The signature is
// not checked: a node without an identity has nothing to check it with, and
// one that has an identity checks it with that one's signer.
func ReadIdentityDisk(disk []byte) (Signed, error) {
	var s Signed
	if len(disk) < identityHeader || !bytes.HasPrefix(disk, []byte(identityMagic)) {
		return s, ErrNoIdentity
	}
	n := binary.BigEndian.Uint32(disk[len(identityMagic):])
	if int64(n) > int64(len(disk)-identityHeader) {
		return s, ErrIdentityDisk
	}
	if _, err := Decode("identity disk", disk[identityHeader:identityHeader+int(n)], &s); err != nil {
		return Signed{}, fmt.Errorf("%w (%w)", ErrIdentityDisk, err)
	}
	return s, nil
}
