package bigcouch

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"leap.example/services/bigcouch/store"
)

// upload takes the bytes of an attachment in, which are no more than most; less
// than nothing means that nobody knows. Small ones travel in the entry that
// names them; of others the chunks go ahead.
func (c *call) upload(r io.Reader, most int64) (a store.NewAtt, err error) {
	rand.Read(a.Blob[:])
	sum, sum5 := sha256.New(), md5.New()
	size := int64(store.ChunkSize)
	if most >= 0 {
		size = min(size, most+1) // One more: the end shows in the same pass.
	}
	buf := make([]byte, size)
	for n := uint32(0); ; n++ {
		size, err := fill(r, buf)
		chunk := buf[:size]
		sum.Write(chunk)
		sum5.Write(chunk)
		a.Length += int64(size)
		last := err == io.EOF
		if err != nil && !last {
			return a, errors.Join(err, c.dropUpload(a.Blob, n))
		}
		if last && n == 0 {
			a.Data = chunk
		} else if size > 0 {
			w := store.WriteChunk{DB: c.db.ID, Blob: a.Blob, N: n, Data: chunk}
			if _, err := c.propose(c.ctx(), c.db.Shard, store.OpID{}, w); err != nil {
				return a, errors.Join(err, c.dropUpload(a.Blob, n))
			}
		}
		if last {
			a.Digest, a.MD5 = [32]byte(sum.Sum(nil)), [16]byte(sum5.Sum(nil))
			return a, nil
		}
	}
}

// fill reads until b is full. Unlike that of io.ReadFull its error tells the
// end of r, io.EOF, from an end that came too early.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	return n, err
}

// dropUpload drops the n chunks of an upload that has failed, also when the
// client has gone.
func (c *call) dropUpload(blob store.BlobID, n uint32) error {
	if n == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx()), 10*time.Second)
	defer cancel()
	_, err := c.propose(ctx, c.db.Shard, store.OpID{}, store.DropUpload{DB: c.db.ID, Blob: blob})
	return err
}

// abandon drops what was uploaded for documents that will not be written.
func (c *call) abandon(docs ...store.Doc) (err error) {
	for _, d := range docs {
		for _, a := range d.Atts {
			if !a.Stub && a.Data == nil {
				err = errors.Join(err, c.dropUpload(a.Blob, 1))
			}
		}
	}
	return err
}

func (c *call) abandonDrafts(drafts []draft) (err error) {
	for i := range drafts {
		err = errors.Join(err, c.abandon(drafts[i].Doc))
	}
	return err
}

// absent says why revision has found no document.
func (c *call) absent(v *store.View, id string) error {
	d, err := v.Document(c.db, id)
	if err == nil && d != nil {
		return store.ErrDeleted
	}
	if err != nil {
		return err
	}
	return store.ErrMissing
}

// revision reads the document and the leaf that the request names. A document
// that is not there, or is deleted, is nil.
func (c *call) revision(v *store.View, id, rev string) (*store.Document, store.Body, error) {
	d, err := v.Document(c.db, id)
	if err != nil || d == nil {
		return nil, store.Body{}, err
	}
	leaf := store.Node{Rev: d.Rev, Deleted: d.Deleted, Leaf: true}
	if rev != "" {
		if leaf, err = c.leaf(d, rev); err != nil {
			return nil, store.Body{}, err
		}
	}
	if leaf.Deleted {
		return nil, store.Body{}, nil
	}
	body, err := v.Body(c.db, d, leaf.Rev)
	return d, body, err
}

func (c *call) getAttachment(id, name string) error {
	v := c.view()
	defer v.Close()
	d, body, err := c.revision(v, id, c.query.Get("rev"))
	if err != nil {
		return err
	}
	if d == nil {
		return c.absent(v, id)
	}
	i := slices.IndexFunc(body.Atts, func(a store.Att) bool { return a.Name == name })
	if i < 0 {
		return errNoAttachment
	}
	a := body.Atts[i]
	etag := `"` + base64.StdEncoding.EncodeToString(a.MD5[:]) + `"`
	h := c.w.Header()
	h.Set("ETag", etag)
	if noneMatch(c.r, etag) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	off, n, status := int64(0), a.Length, http.StatusOK
	h.Set("Accept-Ranges", "none")
	if a.Type == "application/octet-stream" {
		h.Set("Accept-Ranges", "bytes")
		first, last, partial, err := parseRange(c.r.Header.Get("Range"), a.Length)
		if err != nil {
			h.Set("Content-Range", "bytes */"+strconv.FormatInt(a.Length, 10))
			return err
		}
		if partial {
			off, n, status = first, last-first+1, http.StatusPartialContent
			h.Set("Content-Range", "bytes "+strconv.FormatInt(first, 10)+"-"+strconv.FormatInt(last, 10)+"/"+strconv.FormatInt(a.Length, 10))
		}
	}
	h.Set("Content-Length", strconv.FormatInt(n, 10))
	w := c.begin(a.Type)
	c.sent = true
	c.w.WriteHeader(status)
	if c.r.Method == http.MethodHead {
		return nil
	}
	err = v.ReadAttachment(c.db, a, off, n, func(piece []byte) error {
		_, err := w.Write(piece)
		return err
	})
	return errors.Join(err, c.end())
}

func (c *call) putAttachment(id, name string) error {
	if err := checkAttachmentName(name); err != nil {
		return err
	}
	if err := c.writable(); err != nil {
		return err
	}
	if c.r.ContentLength > c.cfg.MaxAttachmentSize {
		return attachmentTooLarge(name)
	}
	r, err := c.stream()
	if err != nil {
		return err
	}
	r = &limited{r: r, n: c.cfg.MaxAttachmentSize, over: attachmentTooLarge(name)}
	var d store.Doc
	err = c.sure(c.db.Shard, func() (err error) {
		d, err = c.editOf(id, name)
		return err
	})
	if err != nil {
		return err
	}
	a, err := c.upload(translated{r, badRequest("Attachment could not be read")}, -1)
	if err != nil {
		return err
	}
	if sent := c.r.Header.Get("Content-MD5"); sent != "" && sent != base64.StdEncoding.EncodeToString(a.MD5[:]) {
		return errors.Join(errMD5, c.abandon(store.Doc{Atts: []store.NewAtt{a}}))
	}
	a.Name, a.Type = name, c.r.Header.Get("Content-Type")
	if a.Type == "" {
		a.Type = "application/octet-stream"
	}
	d.Atts = append(d.Atts, a)
	return c.writeOne(d, false, http.StatusCreated)
}

func (c *call) deleteAttachment(id, name string) error {
	var d store.Doc
	err := c.sure(c.db.Shard, func() (err error) {
		d, err = c.editOf(id, name)
		return err
	})
	if err != nil {
		return err
	}
	return c.writeOne(d, false, http.StatusOK)
}

// editOf returns an edit that keeps the document but not the named attachment.
// A document that is not there is made by putting an attachment to it.
func (c *call) editOf(id, name string) (store.Doc, error) {
	rev, err := c.expected("")
	if err != nil {
		return store.Doc{}, err
	}
	v := c.view()
	defer v.Close()
	d, body, err := c.revision(v, id, rev)
	switch {
	case errors.Is(err, store.ErrMissing): // No leaf of that name.
		return store.Doc{}, store.ErrConflict
	case err != nil:
		return store.Doc{}, err
	case d == nil && rev != "":
		return store.Doc{}, store.ErrConflict
	case d == nil && c.r.Method == http.MethodDelete:
		return store.Doc{}, store.ErrMissing
	case d == nil:
		body.JSON = []byte("{}")
	}
	had := slices.ContainsFunc(body.Atts, func(a store.Att) bool { return a.Name == name })
	if c.r.Method == http.MethodDelete && !had {
		return store.Doc{}, errNoAttachment
	}
	out, err := c.prepare(&document{id: id, rev: rev, body: bytes.Clone(body.JSON)}, false)
	for _, a := range body.Atts {
		if a.Name != name {
			out.Atts = append(out.Atts, store.NewAtt{Stub: true, Att: store.Att{Name: a.Name, MD5: a.MD5}})
		}
	}
	return out, err
}
