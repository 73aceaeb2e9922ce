package bigcouch

import (
	"encoding/json"
	"strings"

	"leap.example/services/bigcouch/store"
)

// A listing writes the rows of a docsQuery.
type listing struct {
	*call
	v    *store.View
	q    docsQuery
	rows int
}

// full reports whether there are as many rows as were asked for.
func (l *listing) full() bool { return l.rows == l.q.r.limit }

// skips reports whether the next row is one to skip.
func (l *listing) skips() bool {
	if l.q.r.skip > 0 {
		l.q.r.skip--
		return true
	}
	return false
}

func (l *listing) span() error {
	if l.full() {
		return nil
	}
	for d, err := range l.v.Documents(l.db, within(l.q.r.Span, l.q.space)) {
		if err != nil {
			return err
		}
		if d.Deleted || l.copied(d.ID) || l.skips() {
			continue
		}
		if err := l.row(d); err != nil || l.full() {
			return err
		}
	}
	return nil
}

func (l *listing) locals() error {
	if l.full() {
		return nil
	}
	in := within(l.q.r.Span, localPrefix)
	if string(in.Start) >= string(in.End) {
		return nil
	}
	in.Start, in.End = localBound(in.Start), localBound(in.End)
	for d, err := range l.v.Locals(l.db, in) {
		if err != nil {
			return err
		}
		if l.skips() {
			continue
		}
		l.local(&d)
		if l.full() {
			return nil
		}
	}
	return nil
}

// localBound turns the bound of a range of ids into one of ids without
// "_local/"; nil if it is the end of the namespace.
func localBound(b []byte) []byte {
	if id, ok := strings.CutPrefix(string(b), localPrefix); ok {
		return []byte(id)
	}
	return nil
}

func (l *listing) keys() error {
	for _, key := range l.q.ordered() {
		if l.full() {
			return nil
		}
		if err := l.key(key); err != nil {
			return err
		}
	}
	return nil
}

// key writes the row of one key.
func (l *listing) key(key json.RawMessage) error {
	var id string
	if json.Unmarshal(key, &id) == nil && key[0] == '"' && strings.HasPrefix(id, l.q.space) {
		if l.q.space == localPrefix {
			d, err := l.v.Local(l.db, strings.TrimPrefix(id, localPrefix))
			if err != nil {
				return err
			}
			if d != nil {
				l.local(d)
				return nil
			}
		}
		d, err := l.v.Document(l.db, id)
		if err != nil {
			return err
		}
		if d != nil {
			return l.row(d)
		}
	}
	l.separate()
	l.out.WriteString(`{"key":` + string(key) + `,"error":"not_found"}`)
	return nil
}

func (l *listing) separate() {
	if l.rows++; l.rows > 1 {
		l.out.WriteByte(',')
	}
	l.out.WriteByte('\n')
}

// beginRow writes a row up to the end of its value.
func (l *listing) beginRow(id, rev string, deleted bool) {
	l.separate()
	name := appendJSON(nil, id)
	b := append(append([]byte(`{"id":`), name...), `,"key":`...)
	b = append(append(b, name...), `,"value":{"rev":"`...)
	b = append(append(b, rev...), '"')
	if deleted {
		b = append(b, `,"deleted":true`...)
	}
	l.out.Write(append(b, '}'))
}

// row writes a document that is there, or was.
func (l *listing) row(d *store.Document) error {
	l.beginRow(d.ID, d.Rev.String(), d.Deleted)
	if l.q.docs {
		l.out.WriteString(`,"doc":`)
		if d.Deleted {
			l.out.WriteString("null")
		} else if err := l.writeDocument(l.out, l.v, d, store.Node{Rev: d.Rev, Leaf: true}, l.q.o); err != nil {
			return err
		}
	}
	return l.out.WriteByte('}')
}

// local writes a local document.
func (l *listing) local(d *store.Local) {
	l.beginRow(localPrefix+d.ID, d.Rev, false)
	if l.q.docs {
		l.out.Write(appendLocal([]byte(`,"doc":`), d))
	}
	l.out.WriteByte('}')
}
