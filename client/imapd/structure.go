package imapd

import (
	"bytes"
	"mime"
	"net/mail"
	"strings"

	"github.com/emersion/go-imap/v2"

	"leap.example/client/mailmime"
)

// envelope returns the ENVELOPE of a message, RFC 9051, 7.5.2.
func envelope(h mailmime.Header) *imap.Envelope {
	e := &imap.Envelope{
		Subject: clean(h.Text("Subject")),
		From:    addresses(h, "From"),
		Sender:  addresses(h, "Sender"),
		ReplyTo: addresses(h, "Reply-To"),
		To:      addresses(h, "To"),
		Cc:      addresses(h, "Cc"),
		Bcc:     addresses(h, "Bcc"),
	}
	if date, err := mail.ParseDate(h.Get("Date")); err == nil {
		e.Date = date
	}
	e.InReplyTo = messageIDs(h.Get("In-Reply-To"))
	if ids := messageIDs(h.Get("Message-ID")); len(ids) > 0 {
		e.MessageID = ids[0]
	}
	return e
}

func addresses(h mailmime.Header, name string) []imap.Address {
	list, _ := h.Addresses(name) // Those that can be read.
	var out []imap.Address
	for _, a := range list {
		if i := strings.LastIndexByte(a.Address, '@'); i > 0 {
			out = append(out, imap.Address{Name: clean(a.Name), Mailbox: clean(a.Address[:i]), Host: clean(a.Address[i+1:])})
		}
	}
	return out
}

// messageIDs returns what stands in angle brackets.
func messageIDs(value string) []string {
	var ids []string
	for {
		_, rest, ok := strings.Cut(value, "<")
		if !ok {
			return ids
		}
		id, rest, ok := strings.Cut(rest, ">")
		if !ok {
			return ids
		}
		if id = clean(id); id != "" {
			ids = append(ids, id)
		}
		value = rest
	}
}

// clean removes control characters: a literal in an ENVELOPE is allowed, and
// confuses programs.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// structure returns the BODYSTRUCTURE of a part, RFC 9051, 7.5.2.
func structure(p *mailmime.Part) imap.BodyStructure {
	typ, sub := split(p.Type)
	disposition, language, location := disposition(p.Header), languages(p.Header), clean(p.Header.Get("Content-Location"))
	if len(p.Parts) > 0 {
		m := &imap.BodyStructureMultiPart{Subtype: sub, Extended: &imap.BodyStructureMultiPartExt{
			Params: params(p.Params), Disposition: disposition, Language: language, Location: location,
		}}
		for _, c := range p.Parts {
			m.Children = append(m.Children, structure(c))
		}
		return m
	}
	if typ == "multipart" || typ == "message" && p.Message == nil && (sub == "rfc822" || sub == "global") {
		// It has no parts that could be listed, which the grammar demands.
		typ, sub = "application", "octet-stream"
	}
	s := &imap.BodyStructureSinglePart{
		Type: typ, Subtype: sub, Params: params(p.Params),
		ID:          clean(p.Header.Get("Content-ID")),
		Description: clean(p.Header.Get("Content-Description")),
		Encoding:    encoding(p.Header),
		Size:        uint32(len(p.Body)),
		Extended:    &imap.BodyStructureSinglePartExt{Disposition: disposition, Language: language, Location: location},
	}
	lines := int64(bytes.Count(p.Body, []byte("\n")))
	switch {
	case p.Message != nil:
		s.MessageRFC822 = &imap.BodyStructureMessageRFC822{
			Envelope: envelope(p.Message.Header), BodyStructure: structure(p.Message), NumLines: lines,
		}
	case typ == "text":
		s.Text = &imap.BodyStructureText{NumLines: lines}
	}
	return s
}

func encoding(h mailmime.Header) string {
	if e := clean(h.Get("Content-Transfer-Encoding")); e != "" {
		return e
	}
	return "7bit"
}

// params cleans parameters. Their names are tokens already.
func params(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = strings.ToValidUTF8(clean(v), "?")
	}
	return out
}

func disposition(h mailmime.Header) *imap.BodyStructureDisposition {
	value, p, err := mime.ParseMediaType(h.Get("Content-Disposition"))
	if value == "" || err != nil && p == nil {
		return nil
	}
	return &imap.BodyStructureDisposition{Value: clean(value), Params: params(p)}
}

func languages(h mailmime.Header) []string {
	var list []string
	for l := range strings.SplitSeq(h.Get("Content-Language"), ",") {
		if l = clean(strings.TrimSpace(l)); l != "" {
			list = append(list, l)
		}
	}
	return list
}
