package bigcouch

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"leap.example/services/bigcouch/store"
	"leap.example/services/bigcouch/view"
)

// A grouper reduces rows group by group and writes the results. Reductions are
// not stored: a query reads all rows that it reduces.
type grouper struct {
	*call
	q       viewQuery
	session *view.Session // Nil while no JavaScript runs.
	now     *view.Reduction
	key     []byte // Of the group, JSON.
	order   []byte // The same in order, once it was needed.
	rows    int    // Written.
}

// writeReduced writes what a query of a reduced view finds.
func (c *call) writeReduced(v *store.View, q viewQuery) error {
	state, err := v.ViewState(c.db, q.f.id)
	if err != nil {
		return err
	}
	c.out.WriteByte('{')
	c.writeSequence(q, state)
	c.out.WriteString(`"rows":[`)
	g := grouper{call: c, q: q}
	defer g.pause()
	if err := g.all(v); err != nil {
		return reduceError(err)
	}
	c.out.WriteString("\n]}")
	return nil
}

func reduceError(err error) error {
	if e, ok := errors.AsType[*view.ValueError](err); ok {
		return &wireError{http.StatusInternalServerError, "builtin_reduce_error", e.Reason}
	}
	return scriptError(err)
}

func (g *grouper) full() bool { return g.q.limit >= 0 && g.rows >= g.q.limit }

func (g *grouper) all(v *store.View) error {
	for span, err := range g.q.spans() {
		if err != nil {
			return err
		}
		g.q.list++
		for row, err := range v.ViewRows(g.db, g.q.f.id, span) {
			if err != nil {
				return err
			}
			if err := g.add(row); err != nil || g.full() {
				return err
			}
		}
		if err := g.finish(); err != nil || g.full() {
			return err
		}
	}
	return nil
}

// add adds a row to its group; one of another group ends the former.
func (g *grouper) add(row store.ViewRow) error {
	key := groupKey(row.Key, g.q.level)
	if g.now != nil && !bytes.Equal(key, g.key) {
		same, err := g.same(key)
		if err != nil {
			return err
		}
		if !same {
			if err := g.finish(); err != nil || g.full() {
				return err
			}
		}
	}
	if g.now == nil {
		if err := g.begin(); err != nil {
			return err
		}
		g.now, g.key, g.order = g.q.f.reduce.Begin(g.ctx(), g.session), key, nil
	}
	if err := g.now.Add(row.Key, row.ID, row.Value); err != nil {
		return err
	}
	return g.ctx().Err()
}

// begin opens a session if the function needs one.
func (g *grouper) begin() (err error) {
	if g.session == nil && g.q.f.reduce.Script() {
		g.session, err = g.scripts.Open(g.ctx())
	}
	return err
}

// same reports whether a key that is written otherwise is that of the group.
func (g *grouper) same(key []byte) (bool, error) {
	var err error
	if g.order == nil {
		if g.order, err = orderOf(g.key); err != nil {
			return false, err
		}
	}
	other, err := orderOf(key)
	return bytes.Equal(other, g.order), err
}

// groupKey returns the key of the group that a row with key belongs to.
func groupKey(key []byte, level int) []byte {
	switch {
	case level == 0:
		return []byte("null")
	case level == exact || len(key) == 0 || key[0] != '[':
		return key
	}
	var elements []json.RawMessage
	if json.Unmarshal(key, &elements) != nil || len(elements) <= level {
		return key
	}
	short := []byte{'['}
	for i, e := range elements[:level] {
		if i > 0 {
			short = append(short, ',')
		}
		short = append(short, e...)
	}
	return append(short, ']')
}

// finish ends a group and writes its row.
func (g *grouper) finish() error {
	if g.now == nil {
		return nil
	}
	value, err := g.now.Result()
	if err != nil {
		return err
	}
	g.now = nil
	return g.write(g.key, value)
}

// write writes the row of a group, if it is not one to skip.
func (g *grouper) write(key, value []byte) error {
	if g.q.skip > 0 {
		g.q.skip--
		return nil
	}
	if g.full() {
		return nil
	}
	if len(key)+len(value)+64 > g.out.Available() {
		g.pause() // The client may take its time.
	}
	if g.rows++; g.rows > 1 {
		g.out.WriteByte(',')
	}
	b := append([]byte("\n{"), g.listed(g.q)...)
	b = append(append(b, `"key":`...), key...)
	b = append(append(b, `,"value":`...), value...)
	_, err := g.out.Write(append(b, '}'))
	return err
}

// pause gives the place for JavaScript to others.
func (g *grouper) pause() {
	if g.session != nil {
		g.session.Close()
		g.session = nil
	}
}
