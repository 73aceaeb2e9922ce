package bigcouch

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"leap.example/services/bigcouch/store"
)

const methodCopy = "COPY"

// destination returns where COPY goes: the id, and the revision that is there.
func (c *call) destination() (id, rev string, err error) {
	target := c.r.Header.Get("Destination")
	if target == "" {
		return "", "", badRequest("Destination header is mandatory for COPY.")
	}
	if strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://") {
		return "", "", badRequest("Destination URL must be relative.")
	}
	target, query, _ := strings.Cut(target, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", "", badRequest("Destination header has an invalid query")
	}
	if id, err = url.QueryUnescape(target); err != nil {
		return "", "", badRequest("Destination header is not escaped well")
	}
	if err := checkID(id); err != nil {
		return "", "", err
	}
	return id, values.Get("rev"), c.guardUsers(id)
}

// copyDocument makes a document of a leaf of another, attachments too.
func (c *call) copyDocument(id string) error {
	target, rev, err := c.destination()
	if err != nil {
		return err
	}
	if err := c.writable(); err != nil {
		return err
	}
	source, err := c.expected("")
	if err != nil {
		return err
	}
	v := c.view()
	defer v.Close()
	d, body, err := c.revision(v, id, source)
	if err != nil {
		return err
	}
	if d == nil {
		return c.absent(v, id)
	}
	in := &document{id: target, rev: rev, body: bytes.Clone(body.JSON)}
	if strings.HasPrefix(target, localPrefix) {
		if len(body.Atts) > 0 {
			return errLocalAttachments
		}
		return c.storeLocal(target, in)
	}
	doc, err := c.prepare(in, false)
	if err != nil {
		return err
	}
	for _, a := range body.Atts {
		copied, err := c.upload(&attReader{v: v, db: c.db, att: a}, a.Length)
		if err != nil {
			return errors.Join(err, c.abandon(doc))
		}
		copied.Name, copied.Type = a.Name, a.Type
		doc.Atts = append(doc.Atts, copied)
	}
	return c.writeOne(doc, false, http.StatusCreated)
}

// copyLocal makes a document of a local one.
func (c *call) copyLocal(id string) error {
	target, rev, err := c.destination()
	if err != nil {
		return err
	}
	v := c.view()
	defer v.Close()
	l, err := v.Local(c.db, strings.TrimPrefix(id, localPrefix))
	if err != nil {
		return err
	}
	if l == nil {
		return store.ErrMissing
	}
	in := &document{id: target, rev: rev, body: bytes.Clone(l.Body)}
	if strings.HasPrefix(target, localPrefix) {
		return c.storeLocal(target, in)
	}
	if err := c.writable(); err != nil {
		return err
	}
	doc, err := c.prepare(in, false)
	if err != nil {
		return err
	}
	return c.writeOne(doc, false, http.StatusCreated)
}
