package envelope

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// Reasons for which an envelope is not opened.
var (
	ErrDecrypt = errors.New("envelope is not encrypted to these keys")              // Or damaged.
	ErrSigner  = errors.New("envelope is not signed by a mail server of the house") // Put there by somebody else.
	ErrInner   = errors.New("envelope's content is not canonical")
)

// A Header is what the MX knows of a message beside its text: the SMTP
// envelope and its own checks.
type Header struct {
	V               int       `json:"v"`    // Version, set by Seal.
	From            string    `json:"from"` // MAIL FROM; "" is the null sender.
	To              string    `json:"to"`   // RCPT TO, of this copy.
	Received        time.Time `json:"received"`
	RemoteIP        string    `json:"remote_ip"`
	HELO            string    `json:"helo"`
	TLS             string    `json:"tls"` // Version and cipher; "" is clear text.
	SPF             string    `json:"spf"` // Results in the words of RFC 8601.
	DKIM            string    `json:"dkim"`
	DMARC           string    `json:"dmarc"`
	SenderEncrypted bool      `json:"sender_encrypted"` // IsEncrypted of the message.
}

const (
	mailMagic     = "LEM\x01"
	headerVersion = 1
	// maxHeader and maxRaw bound the two parts of the content, bytes.
	maxHeader = 64 << 10
	maxRaw    = 64 << 20
)

// Seal seals the message raw for the owner of recipient, one OpenPGP public
// key in binary, signed by signer, at the time now. It fails if the key cannot
// be encrypted to now. Calls may run at the same time.
func Seal(h Header, raw, recipient []byte, signer *SigningKey, rand io.Reader, now time.Time) ([]byte, error) {
	h.V = headerVersion
	head, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encoding an envelope's header: %w", err)
	}
	if len(head) > maxHeader || len(raw) > maxRaw {
		return nil, fmt.Errorf("message of %d bytes: %w", len(raw), ErrLimit)
	}
	to, err := openpgp.ReadKeyRing(bytes.NewReader(recipient))
	if err == nil && len(to) != 1 {
		err = fmt.Errorf("%d keys", len(to))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the recipient's key: %w", err)
	}
	size := len(mailMagic) + 4 + len(head) + 4 + len(raw)
	var out bytes.Buffer
	out.Grow(padmé(size) + 2048)
	w, err := openpgp.Encrypt(&out, to, nil, []*openpgp.Entity{signer.entity}, nil, &packet.Config{
		Rand:          rand,
		Time:          func() time.Time { return now },
		DefaultCipher: packet.CipherAES256,
		// A buffer of a chunk is made for each message: most are small.
		AEADConfig: &packet.AEADConfig{DefaultMode: packet.AEADModeGCM, ChunkSize: 1 << 14},
	})
	if err != nil {
		return nil, fmt.Errorf("encrypting to the recipient's key: %w", err)
	}
	parts := [][]byte{
		binary.BigEndian.AppendUint32([]byte(mailMagic), uint32(len(head))), head,
		binary.BigEndian.AppendUint32(nil, uint32(len(raw))), raw,
		make([]byte, padmé(size)-size),
	}
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return nil, fmt.Errorf("encrypting a message: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypting a message: %w", err)
	}
	return out.Bytes(), nil
}

// Open opens an envelope with one of the private keys, OpenPGP in binary
// without pass phrase, and returns its header and message if one of mxKeys,
// armoured public keys, has signed it. What has expired since does not
// matter. The error is ErrDecrypt, ErrSigner or ErrInner, or that of a key
// that cannot be read.
func Open(data, private []byte, mxKeys []string) (Header, []byte, error) {
	fail := func(err error) (Header, []byte, error) { return Header{}, nil, err }
	own, err := openpgp.ReadKeyRing(bytes.NewReader(private))
	if err != nil {
		return fail(fmt.Errorf("reading the private keys: %w", err))
	}
	var mx openpgp.EntityList
	for _, k := range mxKeys {
		e, err := openpgp.ReadArmoredKeyRing(bytes.NewReader([]byte(k)))
		if err != nil {
			return fail(fmt.Errorf("reading a mail server's key: %w", err))
		}
		mx = append(mx, e...)
	}
	// The zero time leaves out the checks against the clock: a signature must
	// fit its key at the time it was made, not today.
	limit := int64(maxHeader + 2*maxRaw)
	cfg := &packet.Config{Time: func() time.Time { return time.Time{} }, MaxDecompressedMessageSize: &limit}
	md, err := openpgp.ReadMessage(bytes.NewReader(data), slices.Concat(mx, own), nil, cfg)
	if err == nil && !md.IsEncrypted {
		err = errors.New("it is in clear")
	}
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrDecrypt, err))
	}
	plain := bytes.NewBuffer(make([]byte, 0, len(data)))
	if _, err := plain.ReadFrom(io.LimitReader(md.UnverifiedBody, limit)); err != nil {
		return fail(fmt.Errorf("%w: %w", ErrDecrypt, err))
	}
	if !md.IsSigned || !md.IsVerified || md.SignatureError != nil || md.SignedBy == nil || !holds(mx, md.SignedBy) {
		return fail(ErrSigner)
	}
	return parseInner(plain.Bytes())
}

// parseInner parses the signed content; there is one form for each message.
func parseInner(plain []byte) (Header, []byte, error) {
	c := cutter{b: plain}
	magic := c.cut(len(mailMagic))
	head := c.cut(int(c.uint(4)))
	raw := c.cut(int(c.uint(4)))
	if c.short || string(magic) != mailMagic || len(head) > maxHeader || len(raw) > maxRaw || len(plain) != padmé(len(plain)-len(c.b)) || !allZero(c.b) {
		return Header{}, nil, ErrInner
	}
	var h Header
	if err := json.Unmarshal(head, &h); err != nil || h.V != headerVersion {
		return Header{}, nil, ErrInner
	}
	return h, raw, nil
}
