package mailmime

import (
	"bytes"
	"encoding/base64"
	"mime/quotedprintable"
	"slices"
	"strings"
)

// MaxLine is the longest line of a message in transport without its line
// break, RFC 5322, 2.1.1.
const MaxLine = 998

// SevenBit returns p in a form that no relay has a reason to change, so that
// a signature over it holds: lines of at most MaxLine octets of US-ASCII that
// end in CRLF and not in space, none beginning with "From " (RFC 3156, 3 and
// 5). Leaves that are not so are encoded anew. A signed or encrypted part is
// left as it is: touching it would break it.
func (p *Part) SevenBit() []byte {
	switch {
	case p.Type == "multipart/signed" || p.Type == "multipart/encrypted":
		return p.Raw
	case len(p.Parts) > 0:
		return p.Header.withEncoding("7bit").Message(JoinParts(p.Params["boundary"], p.Parts, (*Part).SevenBit))
	case p.Message != nil:
		return p.Header.withEncoding("7bit").Message(p.Message.SevenBit())
	case plain(p.Body):
		return p.Header.Message(p.Body)
	case strings.HasPrefix(p.Type, "text/"):
		return p.Header.withEncoding("quoted-printable").Message(encodeQuoted(p.Decoded()))
	}
	return p.Header.withEncoding("base64").Message(encodeBase64(p.Decoded()))
}

// JoinParts returns the body of a multipart: write gives the bytes of each.
func JoinParts(boundary string, parts []*Part, write func(*Part) []byte) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		b.WriteString("--" + boundary + "\r\n")
		b.Write(write(p))
		b.WriteString("\r\n")
	}
	b.WriteString("--" + boundary + "--\r\n")
	return b.Bytes()
}

// plain reports whether a body survives transport unchanged.
func plain(b []byte) bool {
	for len(b) > 0 {
		end := lineEnd(b, 0)
		line, rest := b[:end], b[end:]
		text, crlf := bytes.CutSuffix(line, []byte("\r\n"))
		if len(text) > MaxLine || !crlf && len(rest) > 0 || bytes.HasPrefix(text, []byte("From ")) ||
			bytes.HasSuffix(text, []byte(" ")) || bytes.HasSuffix(text, []byte("\t")) ||
			slices.ContainsFunc(text, func(c byte) bool { return c >= 0x80 || c == 0 || c == '\r' || c == '\n' }) {
			return false
		}
		b = rest
	}
	return true
}

// withEncoding replaces the transfer encoding, in its place.
func (h Header) withEncoding(name string) Header {
	field := NewField("Content-Transfer-Encoding", name)
	at := slices.IndexFunc(h, func(f Field) bool { return f.Is(field.Name) })
	if at < 0 {
		if name == "7bit" {
			return h
		}
		return append(slices.Clip(h), field)
	}
	rest := h[at+1:].Without(field.Name)
	return slices.Concat(h[:at], Header{field}, rest)
}

func encodeQuoted(text []byte) []byte {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	w.Write(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))) // A bytes.Buffer takes all.
	w.Close()
	out := b.Bytes()
	if bytes.HasPrefix(out, []byte("From ")) {
		out = append([]byte("=46"), out[1:]...)
	}
	return bytes.ReplaceAll(out, []byte("\r\nFrom "), []byte("\r\n=46rom "))
}

func encodeBase64(data []byte) []byte {
	text := base64.StdEncoding.EncodeToString(data)
	var b bytes.Buffer
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	b.WriteString(text + "\r\n")
	return b.Bytes()
}
