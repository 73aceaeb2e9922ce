package bigcouch

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"leap.example/services/bigcouch/spread"
)

// spreadDocs lists documents of all parts.
func (c *call) spreadDocs() error {
	keys, err := c.rowParameters()
	if err != nil {
		return err
	}
	q, err := c.docsQuery(keys)
	if err != nil {
		return err
	}
	c.begin(typeJSON)
	if err := c.writeDocs(q); err != nil {
		return err
	}
	c.out.WriteByte('\n')
	return c.end()
}

// spreadDocsQueries answers several queries one after the other.
func (c *call) spreadDocsQueries() error {
	queries, err := c.bodyQueries()
	if err != nil {
		return err
	}
	lists := make([]docsQuery, len(queries))
	for i, one := range queries {
		if lists[i], err = one.docsQuery(one.keys); err != nil {
			return err
		}
	}
	c.begin(typeJSON)
	c.out.WriteString(`{"results":[`)
	for i, one := range queries {
		if i > 0 {
			c.out.WriteByte(',')
		}
		c.out.WriteByte('\n')
		one.out = c.out
		if err := one.writeDocs(lists[i]); err != nil {
			return err
		}
	}
	c.out.WriteString("\n]}\n")
	return c.end()
}

// writeDocs writes what a query finds in all parts.
func (c *call) writeDocs(q docsQuery) error {
	keys, skip := q.keys, q.r.skip
	var demands map[int]demand
	if keys == nil {
		query := without(c.query, "skip", "limit", "keys", "queries")
		if q.r.limit >= 0 {
			query.Set("limit", strconv.Itoa(q.r.limit+skip))
		}
		demands = c.everyPart(demand{method: http.MethodGet, path: c.path[1:2], query: query})
	} else {
		keys = q.ordered()
		if q.r.limit >= 0 {
			keys = keys[:min(q.r.limit, len(keys))]
		}
		demands = c.demandKeys(keys)
	}
	all, end, err := c.openAll("rows", demands)
	if err != nil {
		return err
	}
	defer end()
	total, offset := "null", "null"
	if q.space != localPrefix {
		n := 0
		for _, r := range all {
			part, err := strconv.Atoi(string(r.Members["total_rows"]))
			if err != nil {
				return err
			}
			n += part
		}
		total = strconv.Itoa(n)
		if q.keys == nil && !q.r.part {
			offset = strconv.Itoa(min(skip, n))
		}
	}
	if q.seq {
		v, err := sequences(all)
		if err != nil {
			return err
		}
		offset += `,"update_seq":` + strconv.Quote(v.Encode(c.db.ID))
	}
	c.out.WriteString(`{"total_rows":` + total + `,"offset":` + offset + `,"rows":[`)
	if keys != nil {
		err = c.writeKeys(all, keys)
	} else {
		err = c.writeSpan(all, q)
	}
	c.out.WriteString("\n]}")
	return err
}

// sequences returns what the parts have said of update_seq before their rows.
func sequences(all []*partRows) (spread.Vector, error) {
	v := make(spread.Vector, len(all))
	for i, r := range all {
		var seq string
		err := json.Unmarshal(r.Members["update_seq"], &seq)
		if err == nil {
			v[i], err = markOf(seq)
		}
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}

// keyPart returns the part that a key of documents is asked for in.
func (c *call) keyPart(key json.RawMessage) int {
	var id string
	if json.Unmarshal(key, &id) != nil {
		return 0 // It says that there is none.
	}
	return spread.Of(id, c.parts())
}

// demandKeys asks each part for its keys, also for none: all are counted.
func (c *call) demandKeys(keys []json.RawMessage) map[int]demand {
	chosen := make([][][]byte, c.parts())
	for _, key := range keys {
		i := c.keyPart(key)
		chosen[i] = append(chosen[i], key)
	}
	query := without(c.query, "skip", "limit", "descending", "key", "startkey", "start_key", "endkey", "end_key", "keys", "queries")
	demands := map[int]demand{}
	for i, keys := range chosen {
		body := append(append([]byte(`{"keys":`), joined(keys)...), '}')
		demands[i] = demand{method: http.MethodPost, path: c.path[1:2], query: query, body: body}
	}
	return demands
}

// writeKeys writes the rows of keys in their order.
func (c *call) writeKeys(all []*partRows, keys []json.RawMessage) error {
	for i, key := range keys {
		row, err := all[c.keyPart(key)].next()
		if err == nil && row == nil {
			err = partLost(spread.ErrAnswer)
		}
		if err != nil {
			return err
		}
		c.writeRowOf(i, row)
	}
	return nil
}

func (c *call) writeRowOf(i int, row []byte) {
	if i > 0 {
		c.out.WriteByte(',')
	}
	c.out.WriteByte('\n')
	c.out.Write(row) // The writer keeps its error for Flush.
}

// A docRow is a row of a part and the id by which it is merged.
type docRow struct {
	id   string
	data []byte
}

// writeSpan merges the rows of a range.
func (c *call) writeSpan(all []*partRows, q docsQuery) error {
	if q.r.limit == 0 {
		return nil
	}
	var sources []func() (docRow, bool, error)
	for _, r := range all {
		sources = append(sources, func() (docRow, bool, error) {
			data, err := r.next()
			if err != nil || data == nil {
				return docRow{}, false, err
			}
			id, err := rowID(data)
			return docRow{id, data}, true, err
		})
	}
	skip, n := q.r.skip, 0
	for row, err := range spread.Merge(sources, func(a, b docRow) bool { return a.id < b.id != q.r.Descending && a.id != b.id }) {
		if err != nil {
			return err
		}
		if skip > 0 {
			skip--
			continue
		}
		c.writeRowOf(n, row.data)
		if n++; n == q.r.limit {
			return nil
		}
	}
	return nil
}

// rowID returns the id that a row, as this program writes them, begins with.
func rowID(row []byte) (string, error) {
	const before = `{"id":`
	if !strings.HasPrefix(string(row[:min(len(row), len(before))]), before) {
		return "", partLost(spread.ErrAnswer)
	}
	rest := row[len(before):]
	return unquote(rest[:valueEnd(rest)])
}
