package envelope_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"leap.example/services/protocol/envelope"
)

// pgp returns an OpenPGP message in armour: encrypted, only signed, or
// encrypted with a password.
func pgp(tb testing.TB, aead bool, how string) string {
	tb.Helper()
	_, priv := user(tb, aead)
	l, err := openpgp.ReadKeyRing(bytes.NewReader(priv))
	if err != nil {
		tb.Fatal(err)
	}
	var b strings.Builder
	out, err := armor.Encode(&b, "PGP MESSAGE", nil)
	if err != nil {
		tb.Fatal(err)
	}
	cfg := &packet.Config{Time: func() time.Time { return now }}
	var w io.WriteCloser
	switch how {
	case "encrypted":
		w, err = openpgp.Encrypt(out, l, nil, l, nil, cfg)
	case "hidden":
		w, err = openpgp.Encrypt(out, nil, l, nil, nil, cfg)
	case "signed":
		w, err = openpgp.SignWithParams(out, l, &openpgp.SignParams{Config: cfg})
	case "password":
		w, err = openpgp.SymmetricallyEncrypt(out, []byte("secret"), nil, cfg)
	}
	if err == nil {
		_, err = io.WriteString(w, strings.Repeat("hello ", 500))
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

func crlf(s string) []byte {
	return []byte(strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n"))
}

// pgpMIME is RFC 3156, 4 around an armoured message.
func pgpMIME(armoured, encoding string) string {
	return `From: a@example.org
Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";
 boundary=b

--b
Content-Type: application/pgp-encrypted

Version: 1

--b
Content-Type: application/octet-stream; name=encrypted.asc
` + encoding + `
` + armoured + `

--b--
`
}

func TestIsEncrypted(t *testing.T) {
	enc, hidden, aead := pgp(t, false, "encrypted"), pgp(t, false, "hidden"), pgp(t, true, "encrypted")
	signed, password := pgp(t, false, "signed"), pgp(t, false, "password")
	plain := func(text string) string { return "From: a@example.org\n\n" + text }
	wrap := func(s string) string { // base64 in lines.
		b := base64.StdEncoding.EncodeToString(crlf(s))
		var out strings.Builder
		for ; len(b) > 70; b = b[70:] {
			out.WriteString(b[:70] + "\n")
		}
		return out.String() + b
	}
	smime := func(kind string, der []byte) string {
		return "From: a\nContent-Type: application/" + kind + "; smime-type=enveloped-data\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString(der) + "\n"
	}
	oid := []byte{0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 3}
	element := func(tag byte, parts ...[]byte) []byte {
		b := bytes.Join(parts, nil)
		return append([]byte{tag, byte(len(b))}, b...)
	}
	open := func(tag byte, parts ...[]byte) []byte { // Indefinite length.
		return append(append([]byte{tag, 0x80}, bytes.Join(parts, nil)...), 0, 0)
	}
	version, recipients, content := element(2, []byte{0}), element(0x31, element(0x30, version0)), element(0x30, oid)
	enveloped := element(0x30, oid, element(0xa0, element(0x30, version, recipients, content)))
	indefinite := open(0x30, oid, open(0xa0, open(0x30, version, recipients, open(0x30, oid))))
	nobody := element(0x30, oid, element(0xa0, element(0x30, version, element(0x31), content)))
	signedData := bytes.Replace(enveloped, []byte{1, 7, 3}, []byte{1, 7, 2}, 1)

	for _, tt := range []struct {
		name string
		msg  string
		want bool
	}{
		{"PGP/MIME", pgpMIME(enc, ""), true},
		{"PGP/MIME, hidden recipient", pgpMIME(hidden, ""), true},
		{"PGP/MIME, SEIPDv2", pgpMIME(aead, ""), true},
		{"PGP/MIME in base64", pgpMIME(wrap(enc), "Content-Transfer-Encoding: base64\n"), true},
		{"PGP/MIME in quoted-printable", pgpMIME(strings.ReplaceAll(enc, "=", "=3D"), "Content-Transfer-Encoding: quoted-printable\n"), true},
		{"inline", plain(enc), true},
		{"inline, blank lines around", plain("\n\n" + enc + "\n\n"), true},
		{"S/MIME", smime("pkcs7-mime", enveloped), true},
		{"S/MIME, indefinite length", smime("x-pkcs7-mime", indefinite), true},
		{"clear text", plain("hello"), false},
		{"no header", "", false},
		{"no body", "From: a\n\n", false},
		{"inline, text before", plain("Hi,\n" + enc), false},
		{"inline, text after", plain(enc + "\nregards"), false},
		{"inline, two messages", plain(enc + "\n" + enc), false},
		{"inline, signed only", plain(signed), false},
		{"inline, password only", plain(password), false},
		{"inline, cut off", plain(enc[:len(enc)/2] + "\n-----END PGP MESSAGE-----"), false},
		{"inline, not base64", plain("-----BEGIN PGP MESSAGE-----\n\n????\n-----END PGP MESSAGE-----\n"), false},
		{"inline, markers alone", plain("-----BEGIN PGP MESSAGE----------END PGP MESSAGE-----"), false},
		{"PGP/MIME label on clear text", pgpMIME("hello", ""), false},
		{"PGP/MIME, signed only", pgpMIME(signed, ""), false},
		{"PGP/MIME, a third part", strings.Replace(pgpMIME(enc, ""), "--b--", "--b\n\nclear\n--b--", 1), false},
		{"PGP/MIME, no protocol", strings.Replace(pgpMIME(enc, ""), "protocol=", "x=", 1), false},
		{"PGP/MIME, wrong first part", strings.Replace(pgpMIME(enc, ""), "Type: application/pgp-encrypted", "Type: text/plain", 1), false},
		{"PGP/MIME, unknown encoding", pgpMIME(enc, "Content-Transfer-Encoding: x-uuencode\n"), false},
		{"PGP/MIME, no end", strings.Replace(pgpMIME(enc, ""), "--b--", "", 1), false},
		{"multipart with an encrypted part", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n" + enc + "\n--b--\n", false},
		{"S/MIME for nobody", smime("pkcs7-mime", nobody), false},
		{"S/MIME, signed only", smime("pkcs7-mime", signedData), false},
		{"S/MIME label on garbage", smime("pkcs7-mime", []byte("hello")), false},
		{"S/MIME, cut off", smime("pkcs7-mime", enveloped[:len(enveloped)-1]), false},
		{"S/MIME, indefinite without end", smime("pkcs7-mime", indefinite[:len(indefinite)-2]), false},
		{"S/MIME, more behind", smime("pkcs7-mime", append(bytes.Clone(enveloped), 0)), false},
	} {
		if got := envelope.IsEncrypted(crlf(tt.msg)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

var version0 = []byte{2, 1, 0}

// TestPacketsAreParsed builds messages of packets of all length forms.
func TestPacketsAreParsed(t *testing.T) {
	pkesk := append([]byte{0xc1, 12, 3}, make([]byte, 11)...)
	body := append([]byte{1}, make([]byte, 60)...)
	seipd := append([]byte{0xd2, byte(len(body))}, body...)
	long := append([]byte{1}, make([]byte, 599)...)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, tt := range []struct {
		name string
		data []byte
		want bool
	}{
		{"one octet", join(pkesk, seipd), true},
		{"two octets", join(pkesk, []byte{0xd2, 192 + (600-192)>>8, (600 - 192) & 0xff}, long), true},
		{"five octets", join(pkesk, []byte{0xd2, 255, 0, 0, 2, 88}, long), true},
		{"partial", join(pkesk, []byte{0xd2, 0xe5}, long[:32], []byte{28}, long[:28]), true},
		{"legacy session key", join([]byte{0x84, 12, 3}, make([]byte, 11), seipd), true},
		{"legacy session key, two octets", join([]byte{0x85, 0, 12, 3}, make([]byte, 11), seipd), true},
		{"legacy, to the end", join([]byte{0x87, 3}, make([]byte, 11), seipd), false},
		{"marker and padding", join([]byte{0xca, 3}, []byte("PGP"), pkesk, []byte{0xd5, 2, 1, 2}, seipd), true},
		{"AEAD packet of GnuPG", join(pkesk, []byte{0xd4, byte(len(body))}, body), true},
		{"no session key", seipd, false},
		{"session key alone", pkesk, false},
		{"something after", join(pkesk, seipd, []byte{0xca, 3}, []byte("PGP")), false},
		{"a literal packet", join(pkesk, []byte{0xcb, 2, 'b', 0}), false},
		{"without integrity", join(pkesk, []byte{0xc9, byte(len(body))}, body), false},
		{"cut off", join(pkesk, seipd[:len(seipd)-1]), false},
		{"too short for its tag", join(pkesk, []byte{0xd2, 10, 1}, make([]byte, 9)), false},
		{"unknown version", join(pkesk, []byte{0xd2, byte(len(body)), 9}, body[1:]), false},
		{"session key of version 2", join([]byte{0xc1, 12, 2}, make([]byte, 11), seipd), false},
		{"empty packet", join(pkesk, []byte{0xd2, 0}), false},
	} {
		var b strings.Builder
		w, err := armor.Encode(&b, "PGP MESSAGE", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(tt.data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := envelope.IsEncrypted(crlf("From: a\n\n" + b.String())); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func FuzzIsEncrypted(f *testing.F) {
	enc := pgp(f, false, "encrypted")
	f.Add(crlf(pgpMIME(enc, "")))
	f.Add(crlf("From: a\n\n" + enc))
	f.Add(crlf("Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: base64\n\nMIAGCSqGSIb3DQEHA6CAMIACAQAxADCABgA=\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if envelope.IsEncrypted(raw) && len(raw) < 60 {
			t.Errorf("%q is too short to be encrypted", raw)
		}
	})
}

func FuzzParseInner(f *testing.F) {
	f.Add(innerOf(f, header, []byte("hello")))
	f.Add([]byte("LEM\x01"))
	f.Fuzz(func(t *testing.T, plain []byte) {
		h, raw, err := envelope.ParseInner(plain)
		if err == nil && (h.V != 1 || len(raw) > len(plain) || envelope.Padmé(len(plain)) != len(plain)) {
			t.Errorf("%+v, %d of %d bytes", h, len(raw), len(plain))
		}
	})
}
