package hp_test

import (
	"bytes"
	"strings"
	"testing"

	"leap.example/client/mailmime"
	"leap.example/client/mailmime/hp"
)

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

const message = `Date: Wed, 11 Jan 2023 16:08:43 -0500
From: Alice <alice@leap.example>
To: Bob <bob@leap.example>,
 Carol <carol@leap.example>
Subject: A secret
 subject
Keywords: contract
Message-ID: <x@leap.example>
MIME-Version: 1.0
Content-Type: text/plain; charset="us-ascii"
Content-Transfer-Encoding: 7bit

Hello.
`

func TestProtectCipher(t *testing.T) {
	payload, outer := hp.Protect(mailmime.Parse(crlf(message)), hp.Cipher)
	wantOuter := crlf(`Date: Wed, 11 Jan 2023 16:08:43 -0500
From: Alice <alice@leap.example>
To: Bob <bob@leap.example>,
 Carol <carol@leap.example>
Subject: [...]
Message-ID: <x@leap.example>
`)
	if got := outer.Bytes(); !bytes.Equal(got, wantOuter) {
		t.Errorf("outside:\n%s\nwant:\n%s", got, wantOuter)
	}
	want := crlf(`Content-Type: text/plain;
 charset=us-ascii;
 hp=cipher;
 protected-headers=v1
Content-Transfer-Encoding: 7bit
Date: Wed, 11 Jan 2023 16:08:43 -0500
From: Alice <alice@leap.example>
To: Bob <bob@leap.example>,
 Carol <carol@leap.example>
Subject: A secret
 subject
Keywords: contract
Message-ID: <x@leap.example>
HP-Outer: Date: Wed, 11 Jan 2023 16:08:43 -0500
HP-Outer: From: Alice <alice@leap.example>
HP-Outer: To: Bob <bob@leap.example>,
 Carol <carol@leap.example>
HP-Outer: Subject: [...]
HP-Outer: Message-ID: <x@leap.example>

Hello.
`)
	if !bytes.Equal(payload, want) {
		t.Errorf("payload:\n%s\nwant:\n%s", payload, want)
	}
}

func TestProtectClear(t *testing.T) {
	payload, outer := hp.Protect(mailmime.Parse(crlf(message)), hp.Clear)
	if got := outer.Get("Subject"); got != "A secret subject" {
		t.Errorf("subject outside = %q", got)
	}
	if bytes.Contains(payload, []byte("HP-Outer")) {
		t.Errorf("a signed payload has HP-Outer:\n%s", payload)
	}
}

func TestRoundTrip(t *testing.T) {
	payload, outer := hp.Protect(mailmime.Parse(crlf(message)), hp.Cipher)
	p := hp.Unprotect(mailmime.Parse(payload))
	if p.Mode != hp.Cipher || p.Fields.Get("Subject") != "A secret subject" || p.Fields.Get("Keywords") != "contract" {
		t.Errorf("mode %q, fields:\n%s", p.Mode, p.Fields.Bytes())
	}
	if got := p.Outer.Bytes(); !bytes.Equal(got, outer.Bytes()) {
		t.Errorf("HP-Outer says:\n%s\nwant:\n%s", got, outer.Bytes())
	}
	want := crlf("Content-Type: text/plain;\n charset=us-ascii\nContent-Transfer-Encoding: 7bit\n\nHello.\n")
	if !bytes.Equal(p.Body, want) {
		t.Errorf("body:\n%s\nwant:\n%s", p.Body, want)
	}
}

func TestUnprotect(t *testing.T) {
	for _, tt := range []struct {
		name, part, subject string
		mode                hp.Mode
	}{
		{"none", "Content-Type: text/plain\nSubject: in\n\nx", "", ""},
		{"other value", "Content-Type: text/plain; hp=none\nSubject: in\n\nx", "", ""},
		{"clear", "Content-Type: text/plain; hp=\"clear\"\nSubject: in\n\nx", "in", hp.Clear},
		{"other programs", "Content-Type: multipart/mixed; boundary=b; protected-headers=\"v1\"\nSubject: in\n\n--b--", "in", hp.Legacy},
	} {
		raw := crlf(tt.part)
		p := hp.Unprotect(mailmime.Parse(raw))
		if p.Mode != tt.mode || p.Fields.Get("Subject") != tt.subject {
			t.Errorf("%s: mode %q, subject %q; want %q, %q", tt.name, p.Mode, p.Fields.Get("Subject"), tt.mode, tt.subject)
		}
		if tt.mode == "" && !bytes.Equal(p.Body, raw) {
			t.Errorf("%s: body %q, want %q", tt.name, p.Body, raw)
		}
	}
}

func FuzzUnprotect(f *testing.F) {
	payload, _ := hp.Protect(mailmime.Parse(crlf(message)), hp.Cipher)
	f.Add(payload)
	f.Add([]byte("Content-Type: text/plain; hp=cipher; x*=utf-8''%41\r\nHP-Outer: HP-Outer: a: b\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := hp.Unprotect(mailmime.Parse(raw))
		if again := hp.Unprotect(mailmime.Parse(p.Body)); p.Mode != "" && again.Mode != "" {
			t.Fatalf("still protected: %q", p.Body)
		}
		whole, _ := hp.Protect(mailmime.Parse(raw), hp.Cipher)
		if again := hp.Unprotect(mailmime.Parse(whole)); again.Mode != hp.Cipher {
			t.Fatalf("protected %q is not seen as such: %q", raw, whole)
		}
	})
}
