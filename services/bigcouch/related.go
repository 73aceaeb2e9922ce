package bigcouch

import (
	"io"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strconv"

	"leap.example/services/bigcouch/store"
)

// Media types of answers in several parts: one document and its attachments,
// and several documents.
const (
	typeJSON    = "application/json"
	typeRelated = "multipart/related"
	typeMixed   = "multipart/mixed"
)

// beginParts begins an answer of several parts. The caller closes the writer
// before end.
func (c *call) beginParts(media string) *multipart.Writer {
	boundary := newUUID()
	w := multipart.NewWriter(c.begin(media + `; boundary="` + boundary + `"`))
	_ = w.SetBoundary(boundary) // 32 hex digits are legal.
	return w
}

// endParts ends it.
func (c *call) endParts(w *multipart.Writer) error {
	_ = w.Close() // An error of the connection comes back from end.
	return c.end()
}

// partHeader returns a header of lines "Name", "value", …
func partHeader(lines ...string) textproto.MIMEHeader {
	h := textproto.MIMEHeader{}
	for i := 0; i+1 < len(lines); i += 2 {
		h.Set(lines[i], lines[i+1])
	}
	return h
}

// anyFollows reports whether attachments of the leaf come in parts of their own.
func (c *call) anyFollows(v *store.View, d *store.Document, leaf store.Node, o render) (bool, error) {
	if !o.attachments {
		return false, nil
	}
	body, err := v.Body(c.db, d, leaf.Rev)
	if slices.ContainsFunc(body.Atts, o.sends) {
		return true, err
	}
	return false, err
}

// writeRelated writes a leaf, then its attachments, as parts of w.
func (c *call) writeRelated(w *multipart.Writer, v *store.View, d *store.Document, leaf store.Node, o render) error {
	o.follows = true
	part, err := w.CreatePart(partHeader("Content-Type", typeJSON))
	if err != nil {
		return err
	}
	if err := c.writeDocument(part, v, d, leaf, o); err != nil {
		return err
	}
	body, err := v.Body(c.db, d, leaf.Rev)
	if err != nil {
		return err
	}
	for _, a := range body.Atts {
		if !o.sends(a) {
			continue
		}
		part, err := w.CreatePart(partHeader(
			"Content-Disposition", "attachment; filename="+quoteName(a.Name),
			"Content-Type", headerText(a.Type), "Content-Length", strconv.FormatInt(a.Length, 10)))
		if err != nil {
			return err
		}
		err = v.ReadAttachment(c.db, a, 0, a.Length, func(piece []byte) error {
			_, err := part.Write(piece)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// writeMixed writes a leaf as one part of an answer with several documents:
// JSON, or parts of its own if attachments follow.
func (c *call) writeMixed(w *multipart.Writer, v *store.View, d *store.Document, leaf store.Node, o render, named bool) error {
	follows, err := c.anyFollows(v, d, leaf, o)
	if err != nil {
		return err
	}
	if !follows {
		part, err := w.CreatePart(partHeader("Content-Type", typeJSON))
		if err != nil {
			return err
		}
		return c.writeDocument(part, v, d, leaf, o)
	}
	boundary := newUUID()
	header := partHeader("Content-Type", typeRelated+`; boundary="`+boundary+`"`)
	if named {
		header.Set("X-Doc-Id", headerText(d.ID))
		header.Set("X-Rev-Id", leaf.Rev.String())
	}
	part, err := w.CreatePart(header)
	if err != nil {
		return err
	}
	inner := multipart.NewWriter(part)
	_ = inner.SetBoundary(boundary) // 32 hex digits are legal.
	if err := c.writeRelated(inner, v, d, leaf, o); err != nil {
		return err
	}
	return inner.Close()
}

// writeErrorPart writes, in place of a document, why it is not there.
func writeErrorPart(w *multipart.Writer, data []byte) error {
	part, err := w.CreatePart(partHeader("Content-Type", typeJSON+`; error="true"`))
	if err != nil {
		return err
	}
	_, err = part.Write(data)
	return err
}

// quoteName returns the name of an attachment as a quoted string of a header.
func quoteName(name string) string {
	b := []byte{'"'}
	for _, c := range []byte(headerText(name)) {
		if c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return string(append(b, '"'))
}

// headerText returns s without what would end a line of a header.
func headerText(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c == 0x7f {
			b[i] = ' '
		}
	}
	return string(b)
}

// attReader reads an attachment of a view from the start.
type attReader struct {
	v   *store.View
	db  *store.Database
	att store.Att
	off int64
}

func (r *attReader) Read(b []byte) (n int, err error) {
	if r.off >= r.att.Length {
		return 0, io.EOF
	}
	want := min(int64(len(b)), r.att.Length-r.off)
	err = r.v.ReadAttachment(r.db, r.att, r.off, want, func(piece []byte) error {
		n += copy(b[n:], piece)
		return nil
	})
	r.off += int64(n)
	if err == nil && n == 0 && want > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
