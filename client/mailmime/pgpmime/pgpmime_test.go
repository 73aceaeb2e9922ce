package pgpmime_test

import (
	"bytes"
	"strings"
	"testing"

	"leap.example/client/mailmime"
	"leap.example/client/mailmime/pgpmime"
)

const armored = "-----BEGIN PGP MESSAGE-----\n\nabcd\n-----END PGP MESSAGE-----\n"

func TestEncrypt(t *testing.T) {
	raw := pgpmime.Encrypt(mailmime.Header{mailmime.NewField("Subject", "[...]")}, []byte(armored))
	p := mailmime.Parse(raw)
	data, ok := pgpmime.Encrypted(p)
	if !ok || strings.ReplaceAll(string(data), "\r\n", "\n") != armored {
		t.Errorf("%v: %q in\n%s", ok, data, raw)
	}
	if p.Header.Get("Subject") != "[...]" || p.Header.Get("MIME-Version") != "1.0" {
		t.Errorf("header:\n%s", p.Head)
	}
	if _, _, ok := pgpmime.Signed(p); ok {
		t.Error("an encrypted message counts as signed")
	}
}

func TestSign(t *testing.T) {
	part := []byte("Content-Type: text/plain\r\n\r\nhello\r\n")
	raw := pgpmime.Sign(nil, part, []byte("-----BEGIN PGP SIGNATURE-----\n\nabcd\n-----END PGP SIGNATURE-----"), "SHA512")
	signed, sig, ok := pgpmime.Signed(mailmime.Parse(raw))
	if !ok || !bytes.Equal(signed.Raw, part) || !bytes.HasPrefix(sig, []byte("-----BEGIN PGP SIG")) {
		t.Errorf("%v: %q in\n%s", ok, sig, raw)
	}
	if !bytes.Contains(raw, []byte(`micalg="pgp-sha512"`)) {
		t.Errorf("no micalg in\n%s", raw)
	}
}

func TestInline(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		ok        bool
	}{
		{"whole body", "Subject: x\r\n\r\n" + armored, true},
		{"text before", "Subject: x\r\n\r\nhi\r\n" + armored, false},
		{"html", "Content-Type: text/html\r\n\r\n" + armored, false},
		{"cut off", "Subject: x\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n", false},
	} {
		if _, ok := pgpmime.Inline(mailmime.Parse([]byte(tt.raw))); ok != tt.ok {
			t.Errorf("%s: %v, want %v", tt.name, ok, tt.ok)
		}
	}
}
