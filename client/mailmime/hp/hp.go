// Package hp is header protection, RFC 9788: the header fields of a message
// travel a second time inside its cryptographic envelope, and what need not be
// seen by relays is replaced outside.
//
// The sender's side applies the policy hcp_baseline of RFC 9788, 3.2.1: the
// Subject becomes "[...]", Keywords and Comments are left out. The receiver's
// side reads what RFC 9788 writes and the older protected-headers="v1" of
// other mail programs.
//
// Left out: the legacy display element (RFC 9788, 2.1) is neither written nor
// removed from what is received.
package hp

import (
	"mime"
	"slices"
	"strings"

	"leap.example/client/mailmime"
)

// A Mode says how a payload is protected: the value of the parameter "hp".
type Mode string

const (
	Cipher Mode = "cipher" // Encrypted, and signed.
	Clear  Mode = "clear"  // Only signed.
	Legacy Mode = "v1"     // protected-headers="v1", read only.
)

// hidden is the Subject outside, RFC 9788, 3.2.1.
const hidden = "[...]"

const outerName = "HP-Outer"

// Protect returns the cryptographic payload of a message, that is its body
// with its structural fields and, in them, all fields of the message; and the
// fields that the message shows outside, without structural ones (RFC 9788,
// 5.2.1).
func Protect(message *mailmime.Part, mode Mode) (payload []byte, outer mailmime.Header) {
	fields := message.Header.Without(outerName)
	inside := fields.Select(func(f mailmime.Field) bool { return f.Structural() && !f.Is("MIME-Version") && !f.Is("Content-Type") })
	inside = append(mailmime.Header{contentType(message, mode)}, inside...)
	fields = fields.Select(func(f mailmime.Field) bool { return !f.Structural() && f.Name != "" })
	inside = append(inside, fields...)
	if mode != Cipher {
		return inside.Message(message.Body), fields
	}
	for _, f := range fields {
		switch {
		case f.Is("Subject"):
			f = mailmime.NewField("Subject", hidden)
		case f.Is("Keywords") || f.Is("Comments"):
			continue
		}
		outer = append(outer, f)
		inside = append(inside, mailmime.Field{Name: outerName, Raw: append([]byte(outerName+": "), f.Raw...)}) // RFC 9788, 2.2.
	}
	return inside.Message(message.Body), outer
}

// contentType returns the field with the parameter hp.
func contentType(message *mailmime.Part, mode Mode) mailmime.Field {
	params := map[string]string{"hp": string(mode)}
	if mode == Cipher {
		params["protected-headers"] = string(Legacy) // For programs that know only this one.
	}
	for k, v := range message.Params {
		if k != "hp" && k != "protected-headers" {
			params[k] = v
		}
	}
	if message.Header.Get("Content-Type") == "" {
		params["charset"] = "us-ascii" // RFC 2045, 5.2.
	}
	return formatType(message.Type, params)
}

// formatType writes a Content-Type, one parameter a line: a boundary may be
// long.
func formatType(typ string, params map[string]string) mailmime.Field {
	names := make([]string, 0, len(params))
	for k := range params {
		names = append(names, k)
	}
	slices.Sort(names)
	var v strings.Builder
	v.WriteString(typ)
	for _, k := range names {
		p := mime.FormatMediaType("a/b", map[string]string{k: params[k]})
		if p == "" { // Not even as RFC 2231: no such parameter can have been read.
			continue
		}
		v.WriteString(";\r\n " + strings.TrimPrefix(p, "a/b; "))
	}
	return mailmime.NewField("Content-Type", v.String())
}

// A Payload is what the receiver finds inside a cryptographic envelope.
type Payload struct {
	Mode   Mode            // Empty: the fields are not protected.
	Fields mailmime.Header // The protected fields of the message.
	Outer  mailmime.Header // What the sender showed outside, from HP-Outer.
	Body   []byte          // The body with its structural fields: a part.
}

// Unprotect reads a payload, the decrypted or verified part. Without
// protection Body is the part as it is.
func Unprotect(payload *mailmime.Part) Payload {
	mode := Mode(strings.ToLower(payload.Params["hp"]))
	switch {
	case mode == Cipher || mode == Clear:
	case strings.EqualFold(payload.Params["protected-headers"], string(Legacy)):
		mode = Legacy
	default:
		return Payload{Body: payload.Raw}
	}
	p := Payload{Mode: mode}
	var structural mailmime.Header
	for _, f := range payload.Header {
		switch {
		case f.Is("Content-Type"):
			params := map[string]string{}
			for k, v := range payload.Params {
				if k != "hp" && k != "protected-headers" {
					params[k] = v
				}
			}
			structural = append(structural, formatType(payload.Type, params))
		case f.Structural():
			structural = append(structural, f)
		case f.Is(outerName):
			p.Outer = append(p.Outer, outerField(f)...)
		case f.Name != "":
			p.Fields = append(p.Fields, f)
		}
	}
	p.Body = structural.Message(payload.Body)
	return p
}

// outerField reads the field within an HP-Outer field. A wrong one gives none.
func outerField(f mailmime.Field) mailmime.Header {
	_, inner, _ := strings.Cut(string(f.Raw), ":")
	h := mailmime.ParseHeader([]byte(strings.TrimLeft(inner, " \t")))
	if len(h) != 1 || h[0].Name == "" {
		return nil
	}
	return h
}
