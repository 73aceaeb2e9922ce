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

// A spreadGroup is reductions of several parts for the same key.
type spreadGroup struct {
	first  partRow
	values [][]byte
}

// maxGroups is how many groups are gathered before they are reduced.
const maxGroups = 200

// combine reduces the groups of the parts that have the same key. Parts may need
// JavaScript for what they send next: this one has none while it waits for them.
func (s *viewSpread) combine(g *grouper, all []*partRows) error {
	var groups []spreadGroup
	for row, err := range s.merge(all) {
		if err != nil {
			return err
		}
		if n := len(groups) - 1; n >= 0 && row.list == groups[n].first.list && bytes.Equal(row.order, groups[n].first.order) {
			groups[n].values = append(groups[n].values, row.Value)
			continue
		}
		if len(groups) >= maxGroups {
			if err := g.writeGroups(groups); err != nil {
				return err
			}
			groups = groups[:0]
		}
		if g.full() {
			return nil
		}
		groups = append(groups, spreadGroup{row, [][]byte{row.Value}})
	}
	return g.writeGroups(groups)
}

// writeGroups reduces the values of groups to one each.
func (g *grouper) writeGroups(groups []spreadGroup) error {
	defer g.pause()
	for _, one := range groups {
		if g.full() {
			return nil
		}
		value := one.values[0]
		if len(one.values) > 1 {
			err := g.begin()
			if err == nil {
				value, err = g.q.f.reduce.Combine(g.ctx(), g.session, one.values)
			}
			if err != nil {
				return err
			}
		}
		if err := g.write(one.first.Key, value); err != nil {
			return err
		}
	}
	return nil
}
