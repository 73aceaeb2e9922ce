package bigcouch

import (
	"compress/gzip"
	"crypto/md5"
	"errors"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"slices"

	"leap.example/services/bigcouch/store"
)

// partSlack is what the boundary and the header of a part may take, bytes.
const partSlack = 16 << 10

var (
	errParts      = badRequest("Request body is not multipart/related that ends well")
	errMoreParts  = badRequest("Request body has more parts than attachments that follow")
	errAttShort   = badRequest("attachment shorter than expected")
	errAttLong    = badRequest("attachment longer than expected")
	errMD5        = &wireError{400, "content_md5_mismatch", "Possible message corruption."}
	errAttPacking = badRequest("Attachment is not properly gzipped.")
)

// A partsReader reads a document whose attachments follow it, one part each,
// and nothing more than what the document says is to come.
type partsReader struct {
	r     *multipart.Reader
	left  *limited // Under r.
	max   int64    // Of one attachment, bytes.
	until int      // Parts that are still to come.
}

// newPartsReader reads the header of a request. doc is the limit of the
// document in bytes, att that of each attachment.
func newPartsReader(contentType string, body io.Reader, doc, att int64) (*partsReader, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" || len(params["boundary"]) > 200 {
		return nil, badRequest("Content-Type has no boundary")
	}
	left := &limited{r: io.MultiReader(body, early{}), n: doc + partSlack}
	return &partsReader{r: multipart.NewReader(left, params["boundary"]), left: left, max: att}, nil
}

// early ends a body with a line feed and an error: io.EOF of a part can mean
// nothing but the last boundary then.
type early struct{}

func (early) Read(b []byte) (int, error) { return copy(b, "\r\n"), io.ErrUnexpectedEOF }

// document reads the first part. doc is its limit.
func (p *partsReader) document(doc int64) (*document, error) {
	part, err := p.r.NextRawPart()
	if err != nil {
		return nil, orWire(err, errParts)
	}
	data, err := io.ReadAll(&limited{r: part, n: doc})
	if err != nil {
		return nil, orWire(err, errParts)
	}
	if data, err = compact(data); err != nil {
		return nil, err
	}
	d, err := parseDocument(data)
	if err != nil {
		return nil, err
	}
	for _, a := range d.atts {
		if !a.Follows {
			continue
		}
		p.until++
		n, known := a.sent()
		if !known {
			n = p.max
		}
		if n < 0 {
			return nil, badRequest("Invalid attachment %q", a.name)
		}
		if n > p.max {
			return nil, attachmentTooLarge(a.name)
		}
		p.left.n += n + partSlack
	}
	d.parts = p
	return d, nil
}

// sent returns how many bytes of an attachment that follows are sent.
func (a *inline) sent() (n int64, known bool) {
	switch {
	case a.Encoding == "gzip" && a.EncodedLength != nil:
		return *a.EncodedLength, true
	case a.Encoding == "gzip" || a.Length == nil:
		return 0, false
	}
	return *a.Length, true
}

// attachments hands the parts to take, each with the member of the document
// that it belongs to: by the name in its header, or else in order.
func (p *partsReader) attachments(list []inline, take func(*inline, io.Reader) (store.NewAtt, error)) (atts []store.NewAtt, err error) {
	var waiting []*inline
	for i := range list {
		if list[i].Follows {
			waiting = append(waiting, &list[i])
		}
	}
	for ; p.until > 0; p.until-- {
		part, err := p.r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return atts, errAttShort
		}
		if err != nil {
			return atts, orWire(err, errParts)
		}
		_, params, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition")) // Part.FileName drops what is before a slash.
		i := max(0, slices.IndexFunc(waiting, func(a *inline) bool { return a.name == params["filename"] }))
		in := waiting[i]
		waiting = slices.Delete(waiting, i, i+1)
		a, err := p.attachment(in, part, take)
		if err != nil {
			return atts, err
		}
		atts = append(atts, a)
	}
	switch _, err := p.r.NextRawPart(); {
	case err == nil:
		return atts, errMoreParts
	case !errors.Is(err, io.EOF):
		return atts, orWire(err, errParts)
	}
	return atts, nil
}

// attachment takes one part in and checks that it is what the document says.
func (p *partsReader) attachment(in *inline, part io.Reader, take func(*inline, io.Reader) (store.NewAtt, error)) (store.NewAtt, error) {
	n, known := in.sent()
	if !known {
		n = p.max
	}
	c := &checked{r: translated{part, errParts}, left: n, exact: known, over: attachmentTooLarge(in.name), sum: md5.New(), want: md5Of(in.Digest)}
	var r io.Reader = c
	if in.Encoding == "gzip" {
		r = &unpacked{packed: c}
	}
	return take(in, &limited{r: r, n: p.max, over: c.over})
}

// A checked reader fails where a part is longer or shorter than announced, or
// has another digest.
type checked struct {
	r     io.Reader
	left  int64
	exact bool  // left is announced, not only the limit.
	over  error // Of more than the limit.
	sum   hash.Hash
	want  [16]byte // Zero: none announced.
}

func (c *checked) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.sum.Write(b[:n])
	c.left -= int64(n)
	switch {
	case c.left < 0 && c.exact:
		return 0, errAttLong
	case c.left < 0:
		return 0, c.over
	case err != io.EOF:
		return n, err
	case c.left > 0 && c.exact:
		return n, errAttShort
	case c.want != [16]byte{} && c.want != [16]byte(c.sum.Sum(nil)):
		return n, errMD5
	}
	return n, err
}

// An unpacked reader undoes gzip, and reads what is packed to its end.
type unpacked struct {
	packed *checked
	z      *gzip.Reader
}

func (u *unpacked) Read(b []byte) (n int, err error) {
	if u.z == nil {
		if u.z, err = gzip.NewReader(u.packed); err != nil {
			return 0, orWire(err, errAttPacking)
		}
	}
	n, err = u.z.Read(b)
	if err == io.EOF {
		if _, err := io.Copy(io.Discard, u.packed); err != nil {
			return n, err
		}
		return n, io.EOF
	}
	if err != nil {
		err = orWire(err, errAttPacking)
	}
	return n, err
}

// readParts reads the body of a PUT in parts, up to the document.
func (c *call) readParts() (*document, error) {
	body, err := c.stream()
	if err != nil {
		return nil, err
	}
	p, err := newPartsReader(c.r.Header.Get("Content-Type"), body, c.cfg.MaxRequestSize, c.cfg.MaxAttachmentSize)
	if err != nil {
		return nil, err
	}
	return p.document(c.cfg.MaxRequestSize)
}

// takePart takes an attachment that follows in.
func (c *call) takePart(in *inline, r io.Reader) (store.NewAtt, error) {
	a, err := c.upload(r, -1)
	a.Name, a.Type, a.RevPos = in.name, in.ContentType, max(0, in.RevPos)
	return a, err
}
