package envelope

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

// IsEncrypted reports whether the body of a message, RFC 5322, was encrypted
// by its sender: PGP/MIME (RFC 3156, 4), a text that is nothing but an OpenPGP
// message in armour, or S/MIME enveloped data (RFC 8551, 3.3). The packets are
// parsed: labels alone do not count.
func IsEncrypted(raw []byte) bool {
	r := bufio.NewReader(bytes.NewReader(raw))
	h, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil {
		return false
	}
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		kind = "text/plain" // RFC 2045, 5.2.
	}
	switch {
	case kind == "multipart/encrypted":
		return isPGPMIME(r, params)
	case kind == "application/pkcs7-mime" || kind == "application/x-pkcs7-mime":
		return isEnveloped(decoded(h, r))
	case strings.HasPrefix(kind, "text/"):
		return isArmoured(decoded(h, r))
	}
	return false
}

// isPGPMIME checks the two parts of RFC 3156, 4.
func isPGPMIME(r io.Reader, params map[string]string) bool {
	if !strings.EqualFold(params["protocol"], "application/pgp-encrypted") || params["boundary"] == "" {
		return false
	}
	mr := multipart.NewReader(r, params["boundary"])
	for i, want := range []string{"application/pgp-encrypted", "application/octet-stream"} {
		p, err := mr.NextRawPart()
		if err != nil {
			return false
		}
		kind, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil || kind != want {
			return false
		}
		body := decoded(textproto.MIMEHeader(p.Header), p)
		if i == 1 && !isArmoured(body) {
			return false
		}
	}
	_, err := mr.NextRawPart()
	return err == io.EOF // Whatever else there is would be clear.
}

// decoded returns the body without its transfer encoding; nil if it is
// damaged.
func decoded(h textproto.MIMEHeader, r io.Reader) []byte {
	switch strings.ToLower(strings.TrimSpace(h.Get("Content-Transfer-Encoding"))) {
	case "", "7bit", "8bit", "binary":
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r) // It skips line ends.
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	default:
		return nil
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil
	}
	return b
}

// isArmoured reports whether text is one OpenPGP message in armour that is
// encrypted, with nothing around it.
func isArmoured(text []byte) bool {
	text = bytes.TrimSpace(text)
	if !bytes.HasPrefix(text, []byte("-----BEGIN PGP MESSAGE-----")) || !bytes.HasSuffix(text, []byte("-----END PGP MESSAGE-----")) ||
		bytes.Count(text, []byte("-----BEGIN ")) != 1 {
		return false
	}
	block, err := armor.Decode(bytes.NewReader(text))
	if err != nil {
		return false
	}
	b, err := io.ReadAll(block.Body)
	return err == nil && isOpenPGP(b)
}
