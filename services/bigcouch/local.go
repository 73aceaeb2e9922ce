package bigcouch

import (
	"net/http"
	"strconv"
	"strings"

	"leap.example/services/bigcouch/store"
)

// Local documents have no tree, no conflicts, and appear nowhere but under
// their own ids.

const localPrefix = "_local/"

func (c *call) getLocal(id string) error {
	v := c.view()
	defer v.Close()
	l, err := v.Local(c.db, strings.TrimPrefix(id, localPrefix))
	if err != nil {
		return err
	}
	if l == nil {
		return store.ErrMissing
	}
	c.w.Header().Set("ETag", `"`+l.Rev+`"`)
	c.replyRaw(http.StatusOK, appendLocal(nil, l))
	return nil
}

// appendLocal appends a local document as clients see it.
func appendLocal(b []byte, l *store.Local) []byte {
	b = append(appendJSON(append(b, `{"_id":`...), localPrefix+l.ID), `,"_rev":"`...)
	b = append(append(b, l.Rev...), '"')
	if len(l.Body) > 2 {
		b = append(append(b, ','), l.Body[1:len(l.Body)-1]...)
	}
	return append(b, '}')
}

func (c *call) putLocal(id string) error {
	data, err := c.readJSON()
	if err != nil {
		return err
	}
	d, err := parseDocument(data)
	if err != nil {
		return err
	}
	if d.rev, err = c.expected(d.rev); err != nil {
		return err
	}
	return c.storeLocal(id, d)
}

func (c *call) deleteLocal(id string) error {
	rev, err := c.expected("")
	if err != nil {
		return err
	}
	return c.storeLocal(id, &document{rev: rev, deleted: true})
}

// storeLocal writes a local document and answers.
func (c *call) storeLocal(id string, d *document) error {
	if err := c.writable(); err != nil && !removes(d.deleted, len(d.body), len(d.atts)) {
		return err
	}
	rev, err := c.writeLocal(id, d)
	if err != nil {
		return err
	}
	status := http.StatusCreated
	if d.deleted {
		status = http.StatusOK
	}
	c.w.Header().Set("ETag", `"`+rev+`"`)
	c.reply(status, written{true, id, rev})
	return nil
}

func (c *call) writeLocal(id string, d *document) (rev string, err error) {
	w := store.WriteLocal{DB: c.db.ID, ID: strings.TrimPrefix(id, localPrefix), Deleted: d.deleted, Body: d.body}
	if int64(len(d.body)) > c.cfg.MaxDocumentSize {
		return "", &wireError{http.StatusRequestEntityTooLarge, "document_too_large", id}
	}
	if len(d.atts) > 0 {
		return "", errLocalAttachments
	}
	if d.rev != "" {
		n, ok := strings.CutPrefix(d.rev, "0-")
		if w.Rev, err = strconv.ParseUint(n, 10, 53); !ok || err != nil {
			return "", badRequest("Invalid rev format")
		}
	}
	op, err := c.opID()
	if err != nil {
		return "", err
	}
	r, err := c.propose(c.ctx(), c.db.Shard, derived(op, id), w)
	return r.Rev, err
}
