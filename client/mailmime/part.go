package mailmime

import (
	"bytes"
	"mime"
	"strings"
)

const (
	maxDepth = 24   // Of parts within parts; what lies deeper is opaque.
	maxParts = 1000 // Of one message; the rest is opaque.
)

// A Part is a message or a part of one. All slices are of the parsed bytes.
type Part struct {
	Raw    []byte // Head and Body.
	Head   []byte // The header with its final empty line.
	Body   []byte // As transferred.
	Header Header

	Type    string            // Lower case, "text/plain" if there is none or a wrong one.
	Params  map[string]string // Of Content-Type, names in lower case.
	Parts   []*Part           // Of a multipart. It may have none.
	Message *Part             // Of a message/rfc822 or message/global.
}

// Parse reads a message or part. The bytes must not change afterwards.
func Parse(raw []byte) *Part {
	left := maxParts
	return parse(raw, "text/plain", maxDepth, &left)
}

func parse(raw []byte, fallback string, depth int, left *int) *Part {
	*left--
	p := &Part{Raw: raw}
	p.Head, p.Body = Split(raw)
	p.Header = ParseHeader(p.Head)
	p.Type, p.Params = mediaType(p.Header.Get("Content-Type"), fallback)
	if depth == 0 || *left <= 0 {
		return p
	}
	switch {
	case strings.HasPrefix(p.Type, "multipart/"):
		child := "text/plain"
		if p.Type == "multipart/digest" { // RFC 2046, 5.1.5.
			child = "message/rfc822"
		}
		for _, raw := range p.split(*left) {
			p.Parts = append(p.Parts, parse(raw, child, depth-1, left))
			if *left <= 0 {
				break
			}
		}
	case (p.Type == "message/rfc822" || p.Type == "message/global") && p.encoding() == "":
		p.Message = parse(p.Body, "text/plain", depth-1, left)
	}
	return p
}

// mediaType reads a Content-Type. A wrong one counts as RFC 2045, 5.2 says.
func mediaType(value, fallback string) (string, map[string]string) {
	if value == "" {
		return fallback, nil
	}
	typ, params, err := mime.ParseMediaType(value)
	if params == nil && err != nil { // With only the parameters wrong, the type is right.
		typ, _, _ = strings.Cut(value, ";")
		typ = strings.ToLower(strings.TrimSpace(typ))
	}
	if major, minor, ok := strings.Cut(typ, "/"); !ok || !token(major) || !token(minor) {
		return "text/plain", nil
	}
	return typ, params
}

// token is RFC 2045, 5.1.
func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?=`, r)
	})
}

// split returns the parts of a multipart body, RFC 2046, 5.1.1.
func (p *Part) split(limit int) [][]byte {
	boundary := p.Params["boundary"]
	if boundary == "" {
		return nil
	}
	mark := []byte("--" + boundary)
	var parts [][]byte
	start := -1 // Of the open part.
	for at := 0; at < len(p.Body) && len(parts) < limit; {
		i := bytes.Index(p.Body[at:], mark)
		if i < 0 {
			break
		}
		i += at
		at = i + len(mark)
		if i > 0 && p.Body[i-1] != '\n' { // Before the line is looked at: it may be long and full of marks.
			continue
		}
		end := lineEnd(p.Body, i)
		rest := bytes.TrimRight(p.Body[at:end], " \t\r\n")
		closing := bytes.Equal(rest, []byte("--"))
		if len(rest) > 0 && !closing {
			continue
		}
		if start >= 0 {
			parts = append(parts, cutLineBreak(p.Body[start:i], start < i))
		}
		start, at = end, end
		if closing {
			return parts
		}
	}
	if start >= 0 && start < len(p.Body) && len(parts) < limit {
		parts = append(parts, p.Body[start:]) // The closing line is missing.
	}
	return parts
}

// cutLineBreak removes the line break that belongs to the boundary after b.
func cutLineBreak(b []byte, any bool) []byte {
	if !any {
		return b
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
}

// Walk calls f for p and all parts in it, from outside to inside, in order.
func (p *Part) Walk(f func(*Part)) {
	f(p)
	for _, c := range p.Parts {
		c.Walk(f)
	}
	if p.Message != nil {
		p.Message.Walk(f)
	}
}

// Leaf reports whether p has no parts that could be told apart.
func (p *Part) Leaf() bool { return len(p.Parts) == 0 && p.Message == nil }

// encoding returns the transfer encoding that hides the content: base64,
// quoted-printable, or "" for the others.
func (p *Part) encoding() string {
	switch e := strings.ToLower(p.Header.Get("Content-Transfer-Encoding")); e {
	case "base64", "quoted-printable":
		return e
	}
	return ""
}
