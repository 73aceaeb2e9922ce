package mailmime

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"strings"

	"github.com/emersion/go-message/charset"
	"golang.org/x/net/html"
)

// Decoded returns the body without its transfer encoding. What does not fit
// the encoding is skipped (base64) or kept as it is (quoted-printable), as
// RFC 2045, 6.7 and 6.8, recommends.
func (p *Part) Decoded() []byte {
	switch p.encoding() {
	case "base64":
		return decodeBase64(p.Body)
	case "quoted-printable":
		return decodeQuoted(p.Body)
	}
	return p.Body
}

func decodeBase64(b []byte) []byte {
	clean := make([]byte, 0, len(b))
	for _, c := range b {
		if 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '/' {
			clean = append(clean, c)
		} else if c == '=' {
			break
		}
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	n, _ := base64.RawStdEncoding.Decode(out, clean) // Cut-off bits are dropped.
	return out[:n]
}

func decodeQuoted(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		end := lineEnd(b, 0)
		line := bytes.TrimRight(b[:end], " \t\r\n")
		brk := b[len(bytes.TrimRight(b[:end], "\r\n")):end]
		b = b[end:]
		soft := bytes.HasSuffix(line, []byte("="))
		line = bytes.TrimSuffix(line, []byte("="))
		for i := 0; i < len(line); i++ {
			if line[i] == '=' && i+2 < len(line) {
				if hi, lo := unhex(line[i+1]), unhex(line[i+2]); hi < 16 && lo < 16 {
					out = append(out, hi<<4|lo)
					i += 2
					continue
				}
			}
			out = append(out, line[i])
		}
		if !soft {
			out = append(out, brk...)
		}
	}
	return out
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// utf8 returns text in a charset as valid UTF-8. An unknown charset is read as
// if it were UTF-8.
func utf8(text []byte, name string) string {
	switch strings.ToLower(name) {
	case "", "utf-8", "us-ascii":
	default:
		if r, err := charset.Reader(name, bytes.NewReader(text)); err == nil {
			if t, err := io.ReadAll(r); err == nil { // As long as text, at most some times.
				text = t
			}
		}
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}

// Text returns the value of a field in UTF-8, RFC 2047 words decoded.
func (f Field) Text() string {
	words := mime.WordDecoder{CharsetReader: charset.Reader}
	v := f.Value()
	if t, err := words.DecodeHeader(v); err == nil {
		v = t
	}
	return strings.ToValidUTF8(v, "\uFFFD")
}

// Text returns the text of the first field of that name, or "".
func (h Header) Text(name string) string {
	for _, f := range h {
		if f.Is(name) {
			return f.Text()
		}
	}
	return ""
}

// Text returns what a person reads in p: the text parts, decoded, in order,
// HTML without its tags, at most limit bytes. It is what body searches see.
func (p *Part) Text(limit int) string {
	var b strings.Builder
	p.Walk(func(p *Part) {
		if !p.Leaf() || !strings.HasPrefix(p.Type, "text/") || b.Len() >= limit {
			return
		}
		// A byte of text takes at most three in the widest transfer encoding.
		cut := *p
		cut.Body = cut.Body[:min(len(cut.Body), 3*limit)]
		t := utf8(cut.Decoded(), p.Params["charset"])
		if p.Type == "text/html" {
			t = stripTags(t)
		}
		b.WriteString(t)
		b.WriteByte('\n')
	})
	t := b.String()
	if len(t) > limit {
		t = strings.ToValidUTF8(t[:limit], "")
	}
	return t
}

// stripTags returns the text of an HTML document. Where a tag breaks the line
// it leaves a space.
func stripTags(doc string) string {
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(doc))
	hidden := false
	for {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.TextToken:
			if !hidden {
				b.WriteString(html.UnescapeString(string(z.Raw())))
			}
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
			t := z.Token()
			switch t.Data {
			case "script", "style":
				hidden = t.Type == html.StartTagToken
			case "a", "b", "i", "u", "em", "strong", "span", "font", "code", "sub", "sup", "small", "big", "tt":
			default:
				b.WriteByte(' ')
			}
		}
	}
}
