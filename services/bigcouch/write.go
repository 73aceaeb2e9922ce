package bigcouch

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"leap.example/services/bigcouch/store"
)

// writeOne stores one document and answers.
func (c *call) writeOne(d store.Doc, replicated bool, status int) error {
	if err := c.writable(); err != nil && c.r.Method != http.MethodDelete && !removes(d.Deleted, len(d.Body), len(d.Atts)) {
		return err
	}
	r, err := c.write([]draft{{Doc: d}}, replicated)
	if err != nil {
		return err
	}
	if r[0].Err != nil {
		return r[0].Err
	}
	rev := r[0].Rev.String()
	c.w.Header().Set("ETag", `"`+rev+`"`)
	if status == http.StatusCreated {
		at := "/" + strings.Trim(c.r.URL.EscapedPath(), "/")
		if c.r.Method == http.MethodPost || c.r.Method == methodCopy {
			at = "/" + url.PathEscape(c.db.Name) + "/" + url.PathEscape(r[0].ID)
		}
		c.w.Header().Set("Location", at)
	}
	c.reply(status, written{true, r[0].ID, rev})
	return nil
}

// written is the answer to a write.
type written struct {
	OK  bool   `json:"ok"`
	ID  string `json:"id"`
	Rev string `json:"rev"`
}

// maxTombstone is the longest body of a deletion on a full disk.
const maxTombstone = 1 << 10

// removes reports whether a write is a deletion that stores next to nothing.
// Such are done on a full disk: nothing else makes room.
func removes(deleted bool, body, atts int) bool { return deleted && body <= maxTombstone && atts == 0 }

// writable refuses writes while the disk is full, except what removes.
func (c *call) writable() error {
	if c.full.Load() {
		return errFull
	}
	return nil
}

// prepare makes a document ready for the store: it checks its size and who may
// write it, and takes its attachments in.
func (c *call) prepare(d *document, replicated bool) (store.Doc, error) {
	out := store.Doc{ID: d.id, Deleted: d.deleted, Body: d.body}
	if int64(len(d.body)) > c.cfg.MaxDocumentSize {
		return out, &wireError{http.StatusRequestEntityTooLarge, "document_too_large", d.id}
	}
	if err := c.mayWrite(d); err != nil {
		return out, err
	}
	out.Body = d.body
	var err error
	if replicated {
		out.Path, err = d.path()
	} else if d.rev != "" {
		out.Rev, err = parseRev(d.rev)
	}
	if err != nil {
		return out, err
	}
	for i := range d.atts {
		if d.atts[i].Follows && d.parts != nil {
			continue
		}
		a, err := c.takeIn(&d.atts[i])
		if err != nil {
			return out, errors.Join(err, c.abandon(out))
		}
		out.Atts = append(out.Atts, a)
	}
	if d.parts != nil {
		atts, err := d.parts.attachments(d.atts, c.takePart)
		if out.Atts = append(out.Atts, atts...); err != nil {
			return out, errors.Join(err, c.abandon(out))
		}
	}
	return out, nil
}

// takeIn turns an attachment of a JSON document into one for the store.
func (c *call) takeIn(in *inline) (store.NewAtt, error) {
	if in.Stub {
		return store.NewAtt{Stub: true, Att: store.Att{Name: in.name, MD5: md5Of(in.Digest)}}, nil
	}
	if in.Follows || in.Data == nil {
		return store.NewAtt{}, badRequest("Attachment %q follows nowhere", in.name)
	}
	r := base64.NewDecoder(base64.StdEncoding, strings.NewReader(*in.Data))
	a, err := c.upload(&limited{r: r, n: c.cfg.MaxAttachmentSize, over: attachmentTooLarge(in.name)}, int64(base64.StdEncoding.DecodedLen(len(*in.Data))))
	if _, corrupt := errors.AsType[base64.CorruptInputError](err); corrupt || errors.Is(err, io.ErrUnexpectedEOF) {
		return a, badRequest("Attachment data of %q is not base64", in.name)
	}
	a.Name, a.Type, a.RevPos = in.name, in.ContentType, max(0, in.RevPos)
	return a, err
}

// expected returns the revision that the request says it edits: in the query,
// in If-Match, or in the body. Two of them must agree.
func (c *call) expected(inBody string) (string, error) {
	rev, match := c.query.Get("rev"), strings.Trim(c.r.Header.Get("If-Match"), `"`)
	if rev != "" && match != "" && rev != match {
		return "", badRequest("Document rev and etag have different values")
	}
	if rev == "" {
		rev = match
	}
	if rev != "" && inBody != "" && rev != inBody {
		return "", badRequest("Document rev from request body and query string have different values")
	}
	if rev == "" {
		rev = inBody
	}
	return rev, nil
}

func parseRev(s string) (store.Rev, error) {
	r, err := store.ParseRev(s)
	if err != nil {
		return r, badRequest("Invalid rev format")
	}
	return r, nil
}

// replicated reports whether the request is one of new_edits=false.
func (c *call) replicated() (bool, error) {
	if c.query.Get("new_edits") == "" {
		return false, nil
	}
	edits, err := c.flag("new_edits")
	return !edits, err
}

func (c *call) putDocument(id string) error {
	if strings.HasPrefix(c.r.Header.Get("Content-Type"), typeRelated) {
		d, err := c.readParts()
		if err != nil {
			return err
		}
		return c.putParsed(id, d, http.StatusCreated)
	}
	data, err := c.readJSON()
	if err != nil {
		return err
	}
	d, err := parseDocument(data)
	if err != nil {
		return err
	}
	return c.putParsed(id, d, http.StatusCreated)
}

func (c *call) putParsed(id string, d *document, status int) error {
	replicated, err := c.replicated()
	if err != nil {
		return err
	}
	d.id = id
	if d.rev, err = c.expected(d.rev); err != nil {
		return err
	}
	doc, err := c.prepare(d, replicated)
	if err != nil {
		return err
	}
	if d.deleted && !replicated && c.r.Method == http.MethodPut {
		status = http.StatusOK
	}
	return c.writeOne(doc, replicated, status)
}

func (c *call) postDocument() error {
	data, err := c.postJSON()
	if err != nil {
		return err
	}
	d, err := parseDocument(data)
	if err != nil {
		return err
	}
	if d.id == "" {
		if d.id, err = c.madeID(0); err != nil {
			return err
		}
	}
	if err := c.guardUsers(d.id); err != nil {
		return err
	}
	if strings.HasPrefix(d.id, localPrefix) {
		return c.storeLocal(d.id, d)
	}
	return c.putParsed(d.id, d, http.StatusCreated)
}

func (c *call) deleteDocument(id string) error {
	rev, err := c.expected("")
	if err != nil {
		return err
	}
	d, err := c.prepare(&document{id: id, rev: rev, deleted: true, body: []byte("{}")}, false)
	if err != nil {
		return err
	}
	d.MustExist = true
	return c.writeOne(d, false, http.StatusOK)
}
