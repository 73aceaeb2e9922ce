package store

import (
	"encoding/binary"
	"slices"
	"strings"
)

// WriteDocs writes documents of one database, each by itself: what becomes of
// one does not depend on what becomes of another, except for an earlier one of
// the same id.
type WriteDocs struct {
	DB         uint64
	RevsLimit  int  // How many ancestors of a leaf are remembered.
	Replicated bool // new_edits=false: revisions are given, not made.
	Docs       []Doc

	// Judged says which design documents have decided about the list
	// (View.Judged). When they are others by now the answer is ErrJudged. 0:
	// nobody had to decide, or the shard's version does not have it.
	Judged uint64 `codec:",omitempty"`
}

// A Doc is one document to be written.
type Doc struct {
	ID        string
	Rev       Rev   // A new edit: the revision that is edited, if any.
	Path      []Rev // Replicated: the revision and its ancestors, newest first.
	Deleted   bool
	MustExist bool // A new edit without Rev is refused as not_found where there is no live document.
	Body      []byte
	Atts      []NewAtt

	// Refused is why the document is not written, which is known before it is
	// proposed: the other documents of an operation are the same whoever has
	// decided about this one.
	Refused *Refusal `codec:",omitempty"`
}

// A NewAtt is an attachment of a Doc. It is one of three: a Stub, which is
// kept from the revision that is edited; Data; or chunks under Blob that
// WriteChunk has written before.
type NewAtt struct {
	Att
	Stub bool
	Data []byte // At most ChunkSize. Not nil.
	Blob BlobID
}

func (w WriteDocs) apply(b *Batch) (Result, error) {
	p := place{b.shard, w.DB}
	c, err := b.database(p)
	if err != nil {
		return Result{}, err
	}
	if c == nil {
		return Result{Err: ErrNoDatabase}, b.abandon(w)
	}
	if w.Judged > 0 && w.Judged != c.judged() {
		return Result{Err: ErrJudged}, nil
	}
	var r Result
	for i := range w.Docs {
		if w.Docs[i].Refused != nil {
			r.Docs = append(r.Docs, DocResult{ID: w.Docs[i].ID, Err: w.Docs[i].Refused})
			continue
		}
		e := edit{Batch: b, p: p, c: c, in: &w.Docs[i], limit: w.RevsLimit}
		rev, refusal, err := e.run(w.Replicated)
		if err != nil {
			return Result{}, err
		}
		r.Docs = append(r.Docs, DocResult{w.Docs[i].ID, rev, refusal})
	}
	return r, nil
}

// An edit is the writing of one document.
type edit struct {
	*Batch
	p     place
	c     *counters
	in    *Doc
	limit int

	old    *Document // Nil: none.
	tree   Tree      // Of old.
	parent Body      // Where stubs come from.
}

func (e *edit) run(replicated bool) (Rev, *Refusal, error) {
	var err error
	if e.old, err = e.document(e.p, e.in.ID); err != nil {
		return Rev{}, nil, err
	}
	if e.old != nil {
		if e.tree, err = e.old.Tree(); err != nil {
			return Rev{}, nil, err
		}
	}
	var parent, rev Rev
	var ancestors []Rev
	gen := 1
	if replicated {
		rev, ancestors = e.in.Path[0], e.in.Path[1:]
		if _, known := e.tree.Node(rev); known {
			return rev, nil, e.dropUploads(e.p, e.in)
		}
		gen = rev.Gen
	} else {
		var refusal *Refusal
		if parent, refusal = e.edited(); refusal != nil {
			return Rev{}, refusal, e.dropUploads(e.p, e.in)
		}
		if !parent.IsZero() {
			ancestors, gen = []Rev{parent}, parent.Gen+1
		}
	}
	if err := e.readParent(ancestors); err != nil {
		return Rev{}, nil, err
	}
	body, refusal := e.resolve(gen)
	if refusal != nil {
		return Rev{}, refusal, e.dropUploads(e.p, e.in)
	}
	if !replicated {
		rev = parent.child(e.in.Deleted, body.JSON, body.Atts)
	}
	tree, added, covered := e.tree.merge(append([]Rev{rev}, ancestors...), e.in.Deleted, e.limit)
	if !added {
		return Rev{}, ErrConflict, e.dropUploads(e.p, e.in)
	}
	return rev, nil, e.write(rev, body, tree, covered)
}

// edited returns the revision that a new edit continues; none for the first.
func (e *edit) edited() (Rev, *Refusal) {
	switch {
	case e.old == nil && e.in.MustExist:
		return Rev{}, ErrMissing
	case e.old == nil && !e.in.Rev.IsZero():
		return Rev{}, ErrConflict
	case e.old == nil:
		return Rev{}, nil
	case e.in.Rev.IsZero() && e.old.Deleted && e.in.MustExist:
		return Rev{}, ErrDeleted
	case e.in.Rev.IsZero() && e.old.Deleted:
		return e.old.Rev, nil
	}
	n, ok := e.tree.Node(e.in.Rev)
	if !ok || !n.Leaf || n.Deleted {
		return Rev{}, ErrConflict
	}
	return n.Rev, nil
}

// readParent finds the body that stubs refer to.
func (e *edit) readParent(ancestors []Rev) (err error) {
	if !slices.ContainsFunc(e.in.Atts, func(a NewAtt) bool { return a.Stub }) {
		return nil
	}
	for _, r := range ancestors {
		if n, ok := e.tree.Node(r); ok && n.Leaf {
			e.parent, err = e.body(e.p, e.old, r)
			return err
		}
	}
	return nil
}

// resolve returns the body that is to be stored.
func (e *edit) resolve(gen int) (Body, *Refusal) {
	body := Body{JSON: e.in.Body}
	for _, a := range e.in.Atts {
		if a.Stub {
			i := slices.IndexFunc(e.parent.Atts, func(o Att) bool { return o.Name == a.Name })
			if i < 0 || a.MD5 != [16]byte{} && a.MD5 != e.parent.Atts[i].MD5 {
				return body, errMissingStub(e.in.ID, a.Name)
			}
			body.Atts = append(body.Atts, e.parent.Atts[i])
			continue
		}
		if a.RevPos == 0 || a.RevPos > gen {
			a.RevPos = gen
		}
		body.Atts = append(body.Atts, a.Att)
	}
	slices.SortFunc(body.Atts, func(a, b Att) int { return strings.Compare(a.Name, b.Name) })
	return body, nil
}

// write stores a new leaf, whose tree is merged already.
func (e *edit) write(rev Rev, body Body, tree Tree, covered []Rev) error {
	for i, a := range e.in.Atts {
		if err := e.refer(e.p, body.Atts, &e.in.Atts[i], a.Name); err != nil {
			return err
		}
	}
	w := tree.winner()
	e.c.Seq++
	d := &Document{ID: e.in.ID, Seq: e.c.Seq, Rev: w.Rev, Deleted: w.Deleted, tree: tree}

	before, err := e.winning(e.old)
	if err != nil {
		return err
	}
	for _, r := range covered {
		if err := e.cover(r); err != nil {
			return err
		}
	}
	e.c.Size += body.size()
	enc := body.encode()
	if d.Rev == rev && len(enc) <= inlineMax {
		d.inline = string(enc)
	} else {
		e.set(e.p.body(d.ID, rev), enc)
	}
	if e.old != nil {
		if e.old.inline != "" && !slices.Contains(covered, e.old.Rev) {
			if e.old.Rev == d.Rev {
				d.inline = e.old.inline
			} else {
				e.set(e.p.body(d.ID, e.old.Rev), []byte(e.old.inline))
			}
		}
		e.delete(e.p.seq(e.old.Seq))
		e.c.count(e.old.Deleted, -1)
	}
	e.c.count(d.Deleted, 1)
	e.set(e.p.doc(d.ID), d.encode())
	e.set(e.p.seq(d.Seq), encodeChange(d))
	return e.reindex(before, d)
}

// cover drops the body of a revision that is no longer a leaf.
func (e *edit) cover(r Rev) error {
	body, err := e.body(e.p, e.old, r)
	if err != nil {
		return err
	}
	e.c.Size -= body.size()
	for _, a := range body.Atts {
		if err := e.release(e.p, a); err != nil {
			return err
		}
	}
	if r != e.old.Rev || e.old.inline == "" {
		e.delete(e.p.body(e.old.ID, r))
	}
	return nil
}

func (c *counters) count(deleted bool, n int) {
	if deleted {
		c.Deleted += uint64(n)
	} else {
		c.Docs += uint64(n)
	}
}

// encodeChange returns the row of the table of changes.
func encodeChange(d *Document) []byte {
	b := []byte{0}
	if d.Deleted {
		b[0] = flagDeleted
	}
	b = appendString(b, d.ID)
	leaves := d.tree.Leaves()
	b = binary.AppendUvarint(b, uint64(len(leaves)))
	for _, n := range leaves {
		b = appendRev(b, n.Rev)
	}
	return b
}
