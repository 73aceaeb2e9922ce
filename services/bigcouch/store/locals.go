package store

import "iter"

// A Local is a local document.
type Local struct {
	ID   string // Without "_local/".
	Rev  string // 0-n
	Body []byte
}

func parseLocal(id, data string) (Local, error) {
	r := row{s: data}
	l := Local{ID: id, Rev: "0-" + r.string()}
	l.Body = []byte(r.s)
	return l, r.err
}

// Local returns a local document, nil when there is none. The id has no
// "_local/".
func (v *View) Local(db *Database, id string) (*Local, error) {
	data, err := v.get(db.place().local(id))
	if err != nil || data == "" {
		return nil, err
	}
	l, err := parseLocal(id, data)
	return &l, err
}

// Locals returns local documents in order of their ids.
func (v *View) Locals(db *Database, in Span) iter.Seq2[Local, error] {
	p := db.place()
	start, end := p.table(tabLocal)
	n := len(start)
	if in.End != nil {
		end = p.local(string(in.End))
	}
	return rows(v.source, p.local(string(in.Start)), end, in.Descending, func(key, value []byte) (Local, error) {
		return parseLocal(string(key[n:]), string(value))
	})
}
