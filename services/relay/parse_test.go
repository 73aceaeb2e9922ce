package relay

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/smtpline"
)

func TestParseMailbox(t *testing.T) {
	for in, want := range map[string]string{
		"a@B.Example":           "a@b.example",
		"A.b@b.example":         "A.b@b.example",
		"a b@b.example":         `"a b"@b.example`,
		`a"b\c@b.example`:       `"a\"b\\c"@b.example`,
		".a@b.example":          `".a"@b.example`,
		"a@c@b.example":         `"a@c"@b.example`,
		"ä@münchen.example":     "ä@xn--mnchen-3ya.example",
		"a> NOTIFY=x@b.example": `"a> NOTIFY=x"@b.example`,
		"@b.example":            "", "a": "", "a@": "", "a@[192.0.2.1]": "", "a@b..example": "", "a\r\nRSET@b.example": "",
		strings.Repeat("a", 65) + "@b.example": "", "a\x00@b.example": "", "a\xff@b.example": "",
	} {
		m, err := parseMailbox(in)
		if m.path != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", in, m.path, err, want)
		}
	}
}

// FuzzMailbox: what is passed on is one path of a command, RFC 5321, 4.1.2.
func FuzzMailbox(f *testing.F) {
	for _, s := range []string{"a@b.example", `a"b\@b.example`, "a> x@b.example", "ä@ö.example", "a b@c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := parseMailbox(s)
		if err != nil {
			return
		}
		local, ok := strings.CutSuffix(m.path, "@"+m.domain)
		if _, err := nick.ParseAddress("x@" + m.domain); err != nil || !ok {
			t.Fatalf("%q gives path %q in domain %q", s, m.path, m.domain)
		}
		if strings.ContainsAny(m.path, "\r\n\x00") {
			t.Fatalf("%q gives path %q", s, m.path)
		}
		if local[0] != '"' {
			if !dotString(local) {
				t.Fatalf("%q gives local part %q", s, local)
			}
			return
		}
		inner, quoting := local[1:len(local)-1], false
		for _, r := range inner {
			if r == '"' && !quoting {
				t.Fatalf("%q gives local part %q", s, local)
			}
			quoting = r == '\\' && !quoting
		}
		if quoting || local[len(local)-1] != '"' {
			t.Fatalf("%q gives local part %q", s, local)
		}
	})
}

// FuzzCompose: what leaves is sound, has one author, the same as before, and
// nothing that stays here.
func FuzzCompose(f *testing.F) {
	for _, s := range []string{
		"From: a@b.example\r\n\r\nbody\r\n", "From: a@b.example", "Bcc: c@d.example\r\nFrom: a@b.example\r\nDate: x\r\n\r\n.\r\n",
		"Received: x\r\n y\r\nFrom: a@b.example\r\nMessage-ID: <x>\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := io.ReadAll(smtpline.NewReader(bytes.NewReader(raw), smtpline.Limits{})); err != nil {
			return
		}
		h, body, err := smtpline.ParseHeader(raw)
		if err != nil {
			return
		}
		author, err := h.Author()
		if err != nil {
			return
		}
		out, err := io.ReadAll(smtpline.NewReader(bytes.NewReader(compose(h, body, "id", "host.example", "b.example", now)), smtpline.Limits{}))
		if err != nil {
			t.Fatalf("%q is composed with %v", raw, err)
		}
		h2, body2, err := smtpline.ParseHeader(out)
		if err != nil {
			t.Fatalf("%q is composed as %q: %v", raw, out, err)
		}
		if again, err := h2.Author(); err != nil || again != author || !bytes.HasPrefix(body2, body) || len(body2) > len(body)+2 {
			t.Fatalf("%q is composed as %q", raw, out)
		}
		if h2.Count("Received") != 1 || h2.Count("Bcc") != 0 || h2.Count("Date") == 0 || h2.Count("Message-ID") == 0 {
			t.Fatalf("%q is composed as %q", raw, out)
		}
	})
}

// FuzzReadLine: a reply is read to its end and not further.
func FuzzReadLine(f *testing.F) {
	for _, s := range []string{"220 go\r\nmore", "220-a\r\n220 b\r\n", "x\n", "220-\r\n", "\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		r := strings.NewReader(in)
		last, err := readLine(iotest.HalfReader(r))
		if err != nil {
			return
		}
		read := in[:len(in)-r.Len()]
		if !strings.HasSuffix(read, last) || !strings.HasSuffix(last, "\n") || len(last) > 3 && last[3] == '-' {
			t.Fatalf("%q: read %q, last line %q", in, read, last)
		}
	})
}

func TestVault(t *testing.T) {
	path := t.TempDir() + "/key"
	writeFile(t, path, strings.Repeat("00", 32))
	v := must(readVault(path))
	sealed := v.seal("row", "1", []byte("text"))
	if got, err := v.open("row", "1", sealed); err != nil || string(got) != "text" {
		t.Errorf("got %q, %v", got, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another id":   func() ([]byte, error) { return v.open("row", "2", sealed) },
		"another kind": func() ([]byte, error) { return v.open("message", "1", sealed) },
		"cut":          func() ([]byte, error) { return v.open("row", "1", sealed[:10]) },
		"changed":      func() ([]byte, error) { sealed[30] ^= 1; return v.open("row", "1", sealed) },
	} {
		if got, err := open(); err == nil {
			t.Errorf("%s: opened as %q", name, got)
		}
	}
	again := must(readVault(path))
	if v.name("a", "b") != again.name("a", "b") || v.name("a", "b") == v.name("ab") || len(v.name()) != 32 {
		t.Error("names are not what they should be")
	}
}
