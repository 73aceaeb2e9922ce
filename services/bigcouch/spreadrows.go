package bigcouch

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"leap.example/services/bigcouch/spread"
	"leap.example/services/bigcouch/store"
)

// A viewSpread is a query of a view whose rows are in several parts.
type viewSpread struct {
	*call
	q     viewQuery
	given []json.RawMessage // The keys in the order of the request.
	sum   string            // See demand.
	fresh bool
	n     int // Rows written.
}

// A partRow is a row of a view as a part sends it.
type partRow struct {
	store.ViewRow
	part  int
	list  int    // Of several keys, the one that it is an answer to.
	order []byte // The key as package order has it.
	data  []byte // As it came.
}

// open opens the rows of all parts.
func (s *viewSpread) open(query url.Values) ([]*partRows, func(), error) {
	d := demand{method: http.MethodGet, path: s.path[1:5], query: query, designs: s.sum, fresh: s.fresh}
	if s.given != nil {
		d.method, d.body = http.MethodPost, []byte(`{"keys":[`)
		for i, key := range s.given {
			if i > 0 {
				d.body = append(d.body, ',')
			}
			d.body = append(d.body, key...)
		}
		d.body = append(d.body, "]}"...)
	}
	return s.openAll("rows", s.everyPart(d))
}

// parameters returns those for parts, without some.
func (s *viewSpread) parameters(names ...string) url.Values {
	query := without(s.query, append(names, "skip", "limit", "keys", "queries")...)
	if s.q.limit >= 0 {
		query.Set("limit", strconv.Itoa(s.q.limit+s.q.skip))
	}
	return query
}

// write writes what the query finds.
func (s *viewSpread) write() error {
	if s.q.reduce {
		return s.writeReduced()
	}
	all, end, err := s.open(s.parameters())
	if err != nil {
		return err
	}
	defer end()
	s.out.WriteByte('{')
	if !s.q.unsorted {
		var total, offset uint64
		for _, r := range all {
			var n, before uint64
			if json.Unmarshal(r.Members["total_rows"], &n) != nil || json.Unmarshal(r.Members["offset"], &before) != nil {
				return partLost(spread.ErrAnswer)
			}
			total, offset = total+n, offset+before
		}
		offset = min(offset+uint64(s.q.skip), total)
		s.out.WriteString(`"total_rows":` + strconv.FormatUint(total, 10) + `,"offset":` + strconv.FormatUint(offset, 10) + `,`)
	}
	if err := s.writeSequences(all); err != nil {
		return err
	}
	s.out.WriteString(`"rows":[`)
	if s.q.limit != 0 {
		for row, err := range s.merge(all) {
			if err != nil {
				return err
			}
			if s.q.skip > 0 {
				s.q.skip--
				continue
			}
			if err := s.writeMapped(row); err != nil {
				return err
			}
			if s.n == s.q.limit {
				break
			}
		}
	}
	s.out.WriteString("\n]}")
	return nil
}

func (s *viewSpread) writeSequences(all []*partRows) error {
	if !s.q.sequence {
		return nil
	}
	v, err := sequences(all)
	if err == nil {
		s.out.WriteString(`"update_seq":` + strconv.Quote(v.Encode(s.db.ID)) + `,`)
	}
	return err
}

// merge returns the rows of all parts in the order of the answer. Rows that are
// equal in key and document are of one part, which has them in order.
func (s *viewSpread) merge(all []*partRows) func(func(partRow, error) bool) {
	var sources []func() (partRow, bool, error)
	for _, r := range all {
		sources = append(sources, func() (row partRow, ok bool, err error) {
			data, err := r.next()
			if err != nil || data == nil {
				return row, false, err
			}
			row, err = readRow(data)
			row.part = r.part
			return row, true, err
		})
	}
	return spread.Merge(sources, func(a, b partRow) bool {
		if a.list != b.list {
			return a.list < b.list
		}
		c := bytes.Compare(a.order, b.order)
		if c == 0 {
			c = strings.Compare(a.ID, b.ID)
		}
		return c != 0 && c < 0 != s.q.span.Descending
	})
}

// readRow takes a row apart: {"id":…,"key":…,"value":…}, or one of a reduction
// without id; with "list" in front if there are several keys.
func readRow(data []byte) (row partRow, err error) {
	row.data = data
	err = members(data, func(name string, value []byte) error {
		switch name {
		case "list":
			return json.Unmarshal(value, &row.list)
		case "id":
			row.ID, err = unquote(value)
			return err
		case "key":
			row.Key = value
			row.order, err = orderOf(value)
			return err
		case "value":
			row.Value = value
		}
		return nil
	})
	if err == nil && (row.Key == nil || row.Value == nil) {
		err = spread.ErrAnswer
	}
	if err != nil {
		err = partLost(err)
	}
	return row, err
}

// writeMapped writes a row. The document that a value names may be in another
// part than the row.
func (s *viewSpread) writeMapped(row partRow) error {
	data := row.data
	if s.q.keys != nil {
		data = append([]byte{'{'}, data[bytes.IndexByte(data, ',')+1:]...)
	}
	if !s.q.docs {
		s.writeRowOf(s.n, data)
		s.n++
		return nil
	}
	var link struct {
		ID  string `json:"_id"`
		Rev string `json:"_rev"`
	}
	if row.Value[0] != '{' || json.Unmarshal(row.Value, &link) != nil || link.ID == "" || spread.Of(link.ID, s.parts()) == row.part {
		s.writeRowOf(s.n, data)
		s.n++
		return nil
	}
	doc, err := s.linked(link.ID, link.Rev)
	if err != nil {
		return err
	}
	b := append(appendJSON([]byte(`{"id":`), row.ID), `,"key":`...)
	b = append(append(append(b, row.Key...), `,"value":`...), row.Value...)
	b = append(append(append(b, `,"doc":`...), bytes.TrimSpace(doc)...), '}')
	s.writeRowOf(s.n, b)
	s.n++
	return nil
}

// linked returns a document of another part, or null.
func (s *viewSpread) linked(id, rev string) ([]byte, error) {
	if checkID(id) != nil || strings.HasPrefix(id, localPrefix) {
		return []byte("null"), nil
	}
	query := url.Values{}
	for _, name := range []string{"revs", "revs_info", "conflicts", "deleted_conflicts", "meta", "attachments", "local_seq"} {
		if s.query.Has(name) {
			query.Set(name, s.query.Get(name))
		}
	}
	if rev != "" {
		query.Set("rev", rev)
	}
	_, doc, err := s.hear(s.ctx(), spread.Of(id, s.parts()), demand{method: http.MethodGet, path: documentPath(id), query: query, fresh: s.fresh})
	if e, ok := errors.AsType[*wireError](err); ok && (e.status == http.StatusNotFound || e.status == http.StatusBadRequest) {
		return []byte("null"), nil
	}
	return doc, err
}
