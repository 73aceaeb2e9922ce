// Package pgpmime is the form of OpenPGP in messages: multipart/encrypted and
// multipart/signed of RFC 3156, and the older inline armor. It moves bytes; it
// neither encrypts nor verifies.
package pgpmime

import (
	"bytes"
	"crypto/rand"
	"strings"

	"leap.example/client/mailmime"
)

const (
	beginMessage = "-----BEGIN PGP MESSAGE-----"
	endMessage   = "-----END PGP MESSAGE-----"
)

// Encrypted returns the armored or binary OpenPGP message within a
// multipart/encrypted part, RFC 3156, 4.
func Encrypted(p *mailmime.Part) (data []byte, ok bool) {
	if p.Type != "multipart/encrypted" || len(p.Parts) < 2 || p.Parts[0].Type != "application/pgp-encrypted" {
		return nil, false
	}
	return p.Parts[1].Decoded(), true
}

// Signed returns what is signed within a multipart/signed part, RFC 3156, 5:
// the first part to the byte, and the armored signature over it.
func Signed(p *mailmime.Part) (signed *mailmime.Part, sig []byte, ok bool) {
	if p.Type != "multipart/signed" || len(p.Parts) != 2 || p.Parts[1].Type != "application/pgp-signature" {
		return nil, nil, false
	}
	return p.Parts[0], p.Parts[1].Decoded(), true
}

// Inline returns the armored message that is all the text of a text/plain
// part.
func Inline(p *mailmime.Part) (armored []byte, ok bool) {
	if p.Type != "text/plain" || !p.Leaf() {
		return nil, false
	}
	text := bytes.TrimSpace(p.Decoded())
	if !bytes.HasPrefix(text, []byte(beginMessage)) || !bytes.HasSuffix(text, []byte(endMessage)) {
		return nil, false
	}
	return text, true
}

// Encrypt returns the message with these fields outside whose content is the
// armored OpenPGP message.
func Encrypt(outer mailmime.Header, armored []byte) []byte {
	boundary := rand.Text()
	var b bytes.Buffer
	b.WriteString("--" + boundary + "\r\n" +
		"Content-Type: application/pgp-encrypted\r\n" +
		"Content-Description: PGP/MIME version identification\r\n\r\n" +
		"Version: 1\r\n\r\n" +
		"--" + boundary + "\r\n" +
		"Content-Type: application/octet-stream; name=\"encrypted.asc\"\r\n" +
		"Content-Description: OpenPGP encrypted message\r\n" +
		"Content-Disposition: inline; filename=\"encrypted.asc\"\r\n\r\n")
	b.Write(crlf(armored))
	b.WriteString("\r\n--" + boundary + "--\r\n")
	return message(outer, "multipart/encrypted; protocol=\"application/pgp-encrypted\"", boundary, b.Bytes())
}

// Sign returns the message with these fields outside whose content is a part,
// to the byte, and an armored signature over it. hash is the OpenPGP name of
// the hash, as SHA512.
func Sign(outer mailmime.Header, part, armored []byte, hash string) []byte {
	boundary := rand.Text()
	var b bytes.Buffer
	b.WriteString("--" + boundary + "\r\n")
	b.Write(part)
	b.WriteString("\r\n--" + boundary + "\r\n" +
		"Content-Type: application/pgp-signature; name=\"signature.asc\"\r\n" +
		"Content-Description: OpenPGP digital signature\r\n" +
		"Content-Disposition: attachment; filename=\"signature.asc\"\r\n\r\n")
	b.Write(crlf(armored))
	b.WriteString("\r\n--" + boundary + "--\r\n")
	typ := "multipart/signed; micalg=\"pgp-" + strings.ToLower(strings.ReplaceAll(hash, "-", "")) + "\";\r\n protocol=\"application/pgp-signature\""
	return message(outer, typ, boundary, b.Bytes())
}

func message(outer mailmime.Header, typ, boundary string, body []byte) []byte {
	h := append(outer[:len(outer):len(outer)],
		mailmime.NewField("MIME-Version", "1.0"),
		mailmime.NewField("Content-Type", typ+";\r\n boundary=\""+boundary+"\""))
	return h.Message(body)
}

func crlf(text []byte) []byte {
	text = bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
	return append(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")), "\r\n"...)
}
