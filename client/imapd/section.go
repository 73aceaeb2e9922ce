package imapd

import (
	"bytes"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"leap.example/client/mailmime"
)

// section returns the octets of BODY[section], RFC 9051, 6.4.5: slices of the
// message. A part that does not exist is empty.
func section(root *mailmime.Part, item *imap.FetchItemBodySection) []byte {
	return partial(whole(root, item), item.Partial)
}

func whole(root *mailmime.Part, item *imap.FetchItemBodySection) []byte {
	p, message := root, root // The part, and the message whose header and text are asked for.
	if len(item.Part) > 0 {
		if p = part(root, item.Part); p == nil {
			return nil
		}
		message = p.Message
	}
	switch item.Specifier {
	case imap.PartSpecifierMIME:
		return p.Head
	case imap.PartSpecifierHeader:
		if message == nil {
			return nil
		}
		return fields(message, item)
	case imap.PartSpecifierText:
		if message == nil {
			return nil
		}
		return message.Body
	}
	if len(item.Part) == 0 {
		return root.Raw
	}
	return p.Body
}

// part finds a part by its numbers. Part 1 of what is not a multipart is its
// body; the parts of an embedded message are numbered within it.
func part(root *mailmime.Part, path []int) *mailmime.Part {
	p, message := root, true // message: p is one, so that its part 1 may be itself.
	for _, n := range path {
		if !message && p.Message != nil {
			p, message = p.Message, true
		}
		switch {
		case n >= 1 && n <= len(p.Parts):
			p, message = p.Parts[n-1], false
		case n == 1 && message && len(p.Parts) == 0:
			message = false
		default:
			return nil
		}
	}
	return p
}

// fields returns the header, or the fields of it that HEADER.FIELDS and
// HEADER.FIELDS.NOT select, with the empty line.
func fields(message *mailmime.Part, item *imap.FetchItemBodySection) []byte {
	if len(item.HeaderFields) == 0 && len(item.HeaderFieldsNot) == 0 {
		return message.Head
	}
	named := func(list []string, f mailmime.Field) bool { return slices.ContainsFunc(list, f.Is) }
	var b bytes.Buffer
	for _, f := range message.Header {
		if len(item.HeaderFields) > 0 && !named(item.HeaderFields, f) || named(item.HeaderFieldsNot, f) {
			continue
		}
		b.Write(f.Raw)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

func partial(b []byte, p *imap.SectionPartial) []byte {
	if p == nil {
		return b
	}
	from := min(max(p.Offset, 0), int64(len(b)))
	return b[from:min(from+max(p.Size, 0), int64(len(b)))]
}

// binary returns the octets of BINARY[part], RFC 3516: without the transfer
// encoding.
func binary(root *mailmime.Part, path []int, cut *imap.SectionPartial) []byte {
	if len(path) == 0 {
		return partial(root.Raw, cut)
	}
	p := part(root, path)
	if p == nil {
		return nil
	}
	return partial(p.Decoded(), cut)
}

// headerOnly reports whether a section needs no more than the header of the
// message.
func headerOnly(item *imap.FetchItemBodySection) bool {
	return item.Specifier == imap.PartSpecifierHeader && len(item.Part) == 0
}

// split divides a media type.
func split(mediaType string) (typ, sub string) {
	typ, sub, _ = strings.Cut(mediaType, "/")
	return typ, sub
}
