package store

import (
	"encoding/binary"
	"encoding/json"
)

// bodies checks that every body is that of a leaf.
func (d *inspection) bodies() {
	start, end := d.p.table(tabBody)
	var doc *Document
	d.walk(start, end, d.at, func(key, _ []byte) {
		id, rev, ok := bodyKey(key[len(start):])
		if !ok {
			d.wrong("", "malformed key of a body: %x", key)
			return
		}
		if doc == nil || doc.ID != id {
			var err error
			if doc, err = d.document(d.p, id); err != nil {
				return // That is a finding already.
			}
		}
		if doc == nil {
			d.wrong(id, "there is a body of revision %v, and no document", rev)
			return
		}
		t, err := doc.Tree()
		if err != nil {
			return
		}
		if n, _ := t.Node(rev); !n.Leaf || rev == doc.Rev && doc.inline != "" {
			d.wrong(id, "there is a body of revision %v, which needs none", rev)
		}
	})
}

// bodyKey takes the end of a body's key apart.
func bodyKey(b []byte) (id string, rev Rev, ok bool) {
	var raw []byte
	for i := 0; i+1 < len(b); i++ {
		switch {
		case b[i] != 0:
			raw = append(raw, b[i])
		case b[i+1] == 0xff:
			raw = append(raw, 0)
			i++
		default:
			rest := b[i+2:]
			if b[i+1] != 0 || len(rest) < 9 {
				return "", Rev{}, false
			}
			return string(raw), Rev{int(binary.BigEndian.Uint64(rest)), string(rest[8:])}, true
		}
	}
	return "", Rev{}, false
}

// changes checks that every row of changes is that of a document.
func (d *inspection) changes() {
	start, end := d.p.table(tabSeq)
	rows := uint64(0)
	d.walk(start, end, d.at, func(key, value []byte) {
		rows++
		r := row{s: string(value)}
		r.byte()
		id := r.string()
		doc, err := d.document(d.p, id)
		if len(key) != len(start)+8 || r.err != nil {
			d.wrong("", "malformed row of changes: %x", key)
		} else if n := binary.BigEndian.Uint64(key[len(start):]); err == nil && (doc == nil || doc.Seq != n) {
			d.wrong(id, "there is a change at %d that is not its latest", n)
		}
	})
	if documents := d.seen.Docs + d.seen.Deleted; rows != documents && d.err == nil {
		d.wrong("", "%d documents, and %d changes", documents, rows)
	}
}

// small checks the tables that stand by themselves.
func (d *inspection) small() {
	locals, end := d.p.table(tabLocal)
	d.walk(locals, end, d.at, func(key, value []byte) {
		id := "_local/" + string(key[len(locals):])
		if l, err := parseLocal("", string(value)); err != nil || !json.Valid(l.Body) || l.Body[0] != '{' {
			d.wrong(id, "malformed row")
		}
	})
	purges, end := d.p.table(tabPurge)
	d.walk(purges, end, d.at, func(key, value []byte) {
		if len(key) != len(purges)+8 || len(value) == 0 {
			d.wrong("", "malformed purge")
		} else if n := binary.BigEndian.Uint64(key[len(purges):]); n == 0 || n > d.have.Purged {
			d.wrong(string(value), "purge %d of %d", n, d.have.Purged)
		}
	})
}
