package bigcouch

import (
	"bytes"

)

// writeReduced writes what a query of a reduced view finds: groups that the
// parts have reduced, reduced again, or the rows of all parts if that cannot be.
func (s *viewSpread) writeReduced() error {
	whole := !s.q.f.reduce.Combines()
	query := s.parameters()
	if whole {
		query = s.parameters("group", "group_level")
		query.Set("reduce", "false")
		query.Del("limit")
	}
	all, end, err := s.open(query)
	if err != nil {
		return err
	}
	defer end()
	s.out.WriteByte('{')
	if err := s.writeSequences(all); err != nil {
		return err
	}
	s.out.WriteString(`"rows":[`)
	g := grouper{call: s.call, q: s.q}
	defer g.pause()
	if whole {
		err = s.reduceRows(&g, all)
	} else {
		err = s.combine(&g, all)
	}
	if err != nil {
		return reduceError(err)
	}
	s.out.WriteString("\n]}")
	return nil
}

// reduceRows reduces rows.
func (s *viewSpread) reduceRows(g *grouper, all []*partRows) error {
	if g.full() {
		return nil
	}
	list := 0
	for row, err := range s.merge(all) {
		if err == nil && row.list != list {
			list = row.list
			err = g.finish()
		}
		if err == nil && !g.full() {
			err = g.add(row.ViewRow)
		}
		if err != nil || g.full() {
			return err
		}
	}
	return g.finish()
}

// combine reduces the groups of the parts that have the same key.
func (s *viewSpread) combine(g *grouper, all []*partRows) error {
	if g.full() {
		return nil
	}
	var first partRow
	var values [][]byte
	end := func() error {
		if values == nil {
			return nil
		}
		value := values[0]
		if len(values) > 1 {
			var err error
			if value, err = g.combined(values); err != nil {
				return err
			}
		}
		values = nil
		return g.write(first.Key, value)
	}
	for row, err := range s.merge(all) {
		if err != nil {
			return err
		}
		if values != nil && (row.list != first.list || !bytes.Equal(row.order, first.order)) {
			if err := end(); err != nil || g.full() {
				return err
			}
		}
		if values == nil {
			first = row
		}
		values = append(values, row.Value)
	}
	return end()
}

// combined reduces values that are reductions.
func (g *grouper) combined(values [][]byte) ([]byte, error) {
	if err := g.begin(); err != nil {
		return nil, err
	}
	return g.q.f.reduce.Combine(g.ctx(), g.session, values)
}

