package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// An inspection is the verifying of one database.
type inspection struct {
	*verifier
	p    place
	at   Finding
	have counters // As it is written down.
	seen counters // As it is counted.

	defs  []indexDef // Of design documents that were seen.
	set   *indexSet
	built map[IndexID]int // Rows that each index which is built should have.
	atts  map[[32]byte]*attSeen
}

// An attSeen is an attachment as leaves name it.
type attSeen struct {
	refs   uint64
	length int64
	md5    [16]byte
}

func (d *inspection) wrong(doc, format string, args ...any) {
	f := d.at
	f.Document, f.What = doc, fmt.Sprintf(format, args...)
	d.find(f)
}

// database checks one database.
func (v *verifier) database(p place) {
	name, known := v.names[p]
	delete(v.names, p)
	if !known {
		name = fmt.Sprintf("%016x", p.db)
	}
	d := &inspection{verifier: v, p: p, at: Finding{Shard: p.shard, Database: name}, built: map[IndexID]int{}, atts: map[[32]byte]*attSeen{}}
	c, err := v.counters(p)
	switch {
	case err != nil:
		d.wrong("", "its counters cannot be read: %v", err)
		return
	case c == nil:
		d.wrong("", "there are rows of it, and it is not open")
		return
	}
	d.have = *c
	if !known && !v.unfinished(p) {
		f := d.at
		f.What = "it is in its shard, and not in the catalogue"
		v.doubt(f)
	}
	if d.set, err = v.indexSet(v.cache, p); err != nil {
		d.wrong("", "its index definitions cannot be read: %v", err)
		d.set = &indexSet{}
	}
	d.progress()
	d.documents()
	d.bodies()
	d.changes()
	d.small()
	d.attachments()
	d.indexRows()
	d.tables()
	d.totals()
}

// unfinished reports whether the catalogue has a database that is being made or
// dropped at p.
func (v *verifier) unfinished(p place) (found bool) {
	start := catalogueKey("")
	err := v.each(start, after(start), func(key, value []byte) (bool, error) {
		d, err := parseDatabase("", value)
		found = err == nil && d.ID == p.db && slices.Contains(d.Places(), p.shard)
		return !found, nil
	})
	return found || err != nil // That is a finding already.
}

// progress notes which indexes are complete.
func (d *inspection) progress() {
	for _, x := range d.set.indexes {
		if p, err := d.get(d.p.indexProgress(x.ID)); err == nil && p != "" && p[0] == built {
			d.built[x.ID] = 0
		}
	}
}

func (d *inspection) documents() {
	start, end := d.p.table(tabDoc)
	d.walk(start, end, d.at, func(key, value []byte) {
		d.r.Documents++
		id := string(key[len(start):])
		doc, err := parseDocument(id, string(value))
		if err == nil {
			_, err = doc.Tree()
		}
		if err != nil || id == "" {
			d.wrong(id, "malformed row")
			d.seen.count(false, 1)
			return
		}
		d.seen.count(doc.Deleted, 1)
		d.tree(doc)
		if doc.Seq == 0 || doc.Seq > d.have.Seq {
			d.wrong(id, "its sequence is %d, the database is at %d", doc.Seq, d.have.Seq)
		}
		if change, err := d.get(d.p.seq(doc.Seq)); err != nil || change != string(encodeChange(doc)) {
			d.wrong(id, "the row of changes at its sequence %d is not its own", doc.Seq)
		}
		for _, leaf := range doc.tree.Leaves() {
			d.leaf(doc, leaf)
		}
	})
}

// tree checks the revisions of a document.
func (d *inspection) tree(doc *Document) {
	t := doc.tree
	inner := make([]bool, len(t))
	for i, n := range t {
		if i > 0 && t[i-1].Rev.compare(n.Rev) >= 0 {
			d.wrong(doc.ID, "its revisions are out of order")
			return
		}
		if n.Rev.Gen < 1 || n.Rev.id == "" {
			d.wrong(doc.ID, "malformed revision")
			return
		}
		if n.parent == "" {
			continue
		}
		at := t.find(Rev{n.Rev.Gen - 1, n.parent})
		if at < 0 {
			d.wrong(doc.ID, "the parent of revision %v is not there", n.Rev)
			return
		}
		inner[at] = true
	}
	for i, n := range t {
		if n.Leaf == inner[i] {
			d.wrong(doc.ID, "revision %v is a leaf and has children, or neither", n.Rev)
		}
	}
	if w := t.winner(); w.Rev != doc.Rev || w.Deleted != doc.Deleted {
		d.wrong(doc.ID, "the winner is %v, its row says %v", w.Rev, doc.Rev)
	}
}

// leaf checks the body of a leaf.
func (d *inspection) leaf(doc *Document, leaf Node) {
	d.r.Leaves++
	data := doc.inline
	if leaf.Rev != doc.Rev || data == "" {
		var err error
		if data, err = d.get(d.p.body(doc.ID, leaf.Rev)); err != nil || data == "" {
			d.wrong(doc.ID, "the body of revision %v is not there%s", leaf.Rev, because(err))
			return
		}
	}
	body, err := parseBody(data)
	if err != nil || !json.Valid(body.JSON) || body.JSON[0] != '{' {
		d.wrong(doc.ID, "the body of revision %v is malformed", leaf.Rev)
		return
	}
	d.seen.Size += body.size()
	for _, a := range body.Atts {
		seen := d.atts[a.Digest]
		if seen == nil {
			seen = &attSeen{length: a.Length, md5: a.MD5}
			d.atts[a.Digest] = seen
		}
		seen.refs++
		if a.Length != seen.length || a.MD5 != seen.md5 {
			d.wrong(doc.ID, "attachment %q of revision %v has not the length or the MD5 that it has elsewhere", a.Name, leaf.Rev)
		}
	}
	if leaf.Rev != doc.Rev || doc.Deleted {
		return
	}
	if name, ok := strings.CutPrefix(doc.ID, DesignPrefix); ok {
		d.defs = append(d.defs, definitions(name, body.JSON)...)
		return
	}
	d.indexed(doc, body)
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// tables looks for rows of tables that there are not.
func (d *inspection) tables() {
	start, end := d.p.span(kindData)
	for start != nil && d.err == nil {
		key := d.next(start, end)
		if key == nil {
			return
		}
		if len(key) < 12 || !slices.Contains(tables, key[11]) {
			d.wrong("", "row %x is of no table", key)
			start = append(key, 0)
			continue
		}
		_, start = d.p.table(key[11])
		if bytes.Compare(start, end) >= 0 {
			return
		}
	}
}

// totals compares the counters with what was counted.
func (d *inspection) totals() {
	if d.err != nil {
		return
	}
	d.seen.Indexes = len(d.set.row.Indexes)
	for _, c := range []struct {
		what       string
		have, seen int64
	}{
		{"documents", int64(d.have.Docs), int64(d.seen.Docs)},
		{"tombstones", int64(d.have.Deleted), int64(d.seen.Deleted)},
		{"bytes", d.have.Size, d.seen.Size},
		{"indexes", int64(d.have.Indexes), int64(d.seen.Indexes)},
	} {
		if c.have != c.seen {
			d.wrong("", "it counts %d %s, and has %d", c.have, c.what, c.seen)
		}
	}
}
