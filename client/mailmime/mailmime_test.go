package mailmime_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/client/mailmime"
)

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

func TestSplit(t *testing.T) {
	for _, tt := range []struct{ name, raw, head, body string }{
		{"usual", "A: b\r\n\r\nbody\r\n", "A: b\r\n\r\n", "body\r\n"},
		{"bare line feeds", "A: b\n\nbody\n", "A: b\n\n", "body\n"},
		{"empty body", "A: b\r\n\r\n", "A: b\r\n\r\n", ""},
		{"no body", "A: b\r\n", "A: b\r\n", ""},
		{"no header", "\r\nbody", "\r\n", "body"},
		{"only text", "hello there\r\nmore", "", "hello there\r\nmore"},
		{"nothing", "", "", ""},
		{"mbox line", "From a@b Mon\r\nA: b\r\n\r\nx", "From a@b Mon\r\nA: b\r\n\r\n", "x"},
	} {
		head, body := mailmime.Split([]byte(tt.raw))
		if string(head) != tt.head || string(body) != tt.body {
			t.Errorf("%s: %q, %q; want %q, %q", tt.name, head, body, tt.head, tt.body)
		}
	}
}

func TestHeader(t *testing.T) {
	h := mailmime.ParseHeader(crlf("From a@b Mon\nSubject: =?utf-8?q?caf=C3=A9?= and\n\ttea \nX-A : 1\nx-a: 2\nbroken line\nX-B:\n\n"))
	if got := h.Text("subject"); got != "café and\ttea" {
		t.Errorf("subject = %q", got)
	}
	if got := h.Get("X-A"); got != "1" {
		t.Errorf("X-A = %q", got)
	}
	if got := string(h.All("X-A").Bytes()); got != "X-A : 1\r\nx-a: 2\r\n" {
		t.Errorf("X-A fields = %q", got)
	}
	if got := string(h.Without("Subject", "X-A").Bytes()); got != "From a@b Mon\r\nbroken line\r\nX-B:\r\n" {
		t.Errorf("rest = %q", got)
	}
}

func TestNewFieldIsOneField(t *testing.T) {
	for value, want := range map[string]string{
		"a":                  "X: a\r\n",
		"a\r\nBcc: b":        "X: a Bcc: b\r\n",
		"a\nBcc: b":          "X: a Bcc: b\r\n",
		"a\rBcc: b":          "X: a Bcc: b\r\n",
		"a\r\n b":            "X: a\r\n b\r\n",
		"a\r\n \r\nBcc: b":   "X: a   Bcc: b\r\n",
		"a\x00b\r\n":         "X: a b \r\n",
		"a\r\n\r\n\r\nBcc:b": "X: a   Bcc:b\r\n",
	} {
		f := mailmime.NewField("X", value)
		if string(f.Raw) != want {
			t.Errorf("NewField(%q) = %q, want %q", value, f.Raw, want)
		}
		if got := mailmime.ParseHeader(f.Raw); len(got) != 1 {
			t.Errorf("%q is %d fields", f.Raw, len(got))
		}
	}
}

const nested = `Subject: x
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

preamble
--outer
Content-Type: multipart/alternative; boundary="outer-in"

--outer-in

plain
--outer-in
Content-Type: text/html; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

<p>caf=E9</p>a<b>b</b>c<script>no</script>=
d &amp; e
--outer-in--
epilogue
--outer
Content-Type: message/rfc822

Subject: inner

inner body
--outer
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

aGVs
bG8=
--outer--
`

func TestParse(t *testing.T) {
	raw := crlf(nested)
	p := mailmime.Parse(raw)
	var got []string
	p.Walk(func(p *mailmime.Part) {
		got = append(got, p.Type)
		if !bytes.Equal(p.Raw, slices.Concat(p.Head, p.Body)) {
			t.Errorf("%s: head and body are not raw", p.Type)
		}
	})
	want := "[multipart/mixed multipart/alternative text/plain text/html message/rfc822 text/plain text/plain]"
	if fmt.Sprint(got) != want {
		t.Fatalf("parts = %v, want %s", got, want)
	}
	if got := string(p.Parts[0].Parts[0].Body); got != "plain" {
		t.Errorf("first text = %q", got)
	}
	if got := p.Parts[1].Message.Header.Get("Subject"); got != "inner" {
		t.Errorf("inner subject = %q", got)
	}
	if got := string(p.Parts[2].Decoded()); got != "hello" {
		t.Errorf("base64 text = %q", got)
	}
	text := p.Text(1 << 20)
	for _, want := range []string{"plain", "café", "abcd & e", "inner body", "hello"} {
		if !strings.Contains(text, want) {
			t.Errorf("text %q lacks %q", text, want)
		}
	}
	if strings.Contains(text, "no") {
		t.Errorf("text %q holds a script", text)
	}
	if got := p.Text(7); len(got) > 7 {
		t.Errorf("text of at most 7 bytes is %q", got)
	}
}

func TestMalformedTypes(t *testing.T) {
	for value, want := range map[string]string{
		"":                               "text/plain",
		"text":                           "text/plain",
		"text/":                          "text/plain",
		"TEXT/HTML; charset":             "text/html",
		"multipart/mixed; boundary=a b":  "multipart/mixed",
		"a/b/c":                          "text/plain",
		"image/png; name=\"\xff\"; ;;":   "image/png",
		"text/html;charset=a;charset=\"": "text/html",
	} {
		if p := mailmime.Parse([]byte("Content-Type: " + value + "\r\n\r\nx")); p.Type != want {
			t.Errorf("%q is %q, want %q", value, p.Type, want)
		}
	}
}

func TestLimits(t *testing.T) {
	deep := bytes.Repeat([]byte("Content-Type: message/rfc822\r\n\r\n"), 10000)
	parts, depth := 0, 0
	p := mailmime.Parse(deep)
	for q := p; q != nil; q = q.Message {
		depth++
	}
	wide := slices.Concat([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n"), bytes.Repeat([]byte("--b\r\n\r\n\r\n"), 100000))
	mailmime.Parse(wide).Walk(func(*mailmime.Part) { parts++ })
	if depth > 25 || parts > 1001 {
		t.Errorf("depth %d, parts %d", depth, parts)
	}
	if h := mailmime.ParseHeader(bytes.Repeat([]byte("A:\r\n"), 100000)); len(h) > 4096 {
		t.Errorf("%d fields", len(h))
	}
}

func TestBoundaries(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       []string
	}{
		{"usual", "--b\n\none\n--b\n\ntwo\n--b--\n", []string{"\r\none", "\r\ntwo"}},
		{"space after", "--b  \n\none\n--b--  \nrest", []string{"\r\none"}},
		{"not at the line's beginning", "--b\n\none --b\n--b--", []string{"\r\none --b"}},
		{"longer word", "--b\n\none\n--bb\n--b--", []string{"\r\none\r\n--bb"}},
		{"not closed", "--b\n\none\n", []string{"\r\none\r\n"}},
		{"empty part", "--b\n--b\n\nx\n--b--", []string{"", "\r\nx"}},
		{"none", "text\n", nil},
	} {
		p := mailmime.Parse(slices.Concat(crlf("Content-Type: multipart/mixed; boundary=b\n\n"), crlf(tt.body)))
		var got []string
		for _, c := range p.Parts {
			got = append(got, string(c.Raw))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSevenBit(t *testing.T) {
	raw := crlf("Subject: s\nContent-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\n" +
		"--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nFrom here: café \nend\n" +
		"--b\nContent-Type: image/png\n\n\x00\xff\n" +
		"--b\nContent-Type: text/plain\n\nclean\n" +
		"--b\nContent-Type: message/rfc822\n\nSubject: in\n\nna\xc3\xafve\n--b--\n")
	p := mailmime.Parse(raw)
	out := p.SevenBit()
	if i := slices.IndexFunc(out, func(c byte) bool { return c >= 0x80 || c == 0 }); i >= 0 {
		t.Errorf("not 7bit at %d: %q", i, out)
	}
	if bytes.Contains(out, []byte("\nFrom ")) || bytes.Contains(out, []byte(" \r\n")) {
		t.Errorf("lines that relays change: %q", out)
	}
	q := mailmime.Parse(out)
	if got, want := q.Text(1000), p.Text(1000); strings.ReplaceAll(got, "\r\n", "") != strings.ReplaceAll(want, "\r\n", "") {
		t.Errorf("text = %q, want %q", got, want)
	}
	if got := q.Parts[1].Decoded(); string(got) != "\x00\xff" {
		t.Errorf("image = %q", got)
	}
	if got, want := string(q.Parts[2].Raw), "Content-Type: text/plain\r\n\r\nclean"; got != want {
		t.Errorf("clean part = %q, want %q", got, want)
	}
	if again := q.SevenBit(); !bytes.Equal(again, out) {
		t.Errorf("not idempotent:\n%q\n%q", again, out)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(crlf(nested))
	f.Add([]byte("Content-Type: multipart/digest; boundary=\"\"\r\n\r\n--\r\n"))
	f.Add([]byte("Content-Type: text/html; charset=utf-7\r\n\r\n+AGE-"))
	f.Add([]byte("Content-Transfer-Encoding: quoted-printable\r\n\r\n=\r\n=4=41 \t\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := mailmime.Parse(raw)
		if !bytes.Equal(p.Raw, raw) {
			t.Fatal("raw was changed")
		}
		p.Walk(func(p *mailmime.Part) {
			if !bytes.Equal(p.Raw, slices.Concat(p.Head, p.Body)) {
				t.Fatal("head and body are not raw")
			}
			if !p.Leaf() {
				return
			}
			p.Decoded()
			p.Header.Addresses("From")
		})
		if text := p.Text(100); len(text) > 100 || !strings.Contains(strings.ToValidUTF8(text, "\x00"), text) {
			t.Fatalf("text %q", text)
		}
		out := p.SevenBit()
		if again := mailmime.Parse(out).SevenBit(); len(out) < 1<<16 && p.Type != "multipart/signed" && !bytes.Equal(again, out) && !strings.HasPrefix(p.Type, "m") {
			t.Fatalf("7bit form of a leaf is not stable:\n%q\n%q", out, again)
		}
	})
}

// What a hostile message of a megabyte may cost: each of these took minutes
// in a reader that looks at a line once for every mark in it.
func TestHostileMessagesAreCheap(t *testing.T) {
	const n = 1 << 20
	for name, raw := range map[string]string{
		"marks in one line": "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b", n/3),
		"lines of marks":    "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--bx\n", n/5),
		"folded lines":      strings.Repeat(" x\n", n/3) + "\n",
		"encoded words":     "Subject: " + strings.Repeat("=?utf-8?q?a?= ", n/14) + "\r\n\r\n",
		"address list":      "From: " + strings.Repeat("a@b,", n/4) + "\r\n\r\n",
		"comments":          "From: " + strings.Repeat("(", n) + "\r\n\r\n",
		"parameters":        "Content-Type: a/b" + strings.Repeat("; a*0=b", n/7) + "\r\n\r\n",
		"html":              "Content-Type: text/html\r\n\r\n" + strings.Repeat("<a", n/2),
		"quoted":            "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("=", n),
	} {
		start := time.Now()
		p := mailmime.Parse([]byte(raw))
		p.Text(n)
		p.Header.Text("Subject")
		p.Header.Addresses("From")
		p.SevenBit()
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}
