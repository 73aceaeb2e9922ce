package bigcouch

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"leap.example/services/bigcouch/store"
)

// allDocs lists documents by id: a range, or the keys that are asked for. How
// many rows lie before a range is not counted, that would read them all:
// offset is null then.
func (c *call) allDocs() error {
	keys, err := c.rowParameters()
	if err != nil {
		return err
	}
	r, err := c.idRange()
	if err != nil {
		return err
	}
	docs, err := c.flag("include_docs")
	if err != nil {
		return err
	}
	o, err := c.renderFlags()
	if err != nil {
		return err
	}
	v := c.view()
	defer v.Close()
	info, err := v.Info(c.db)
	if err != nil {
		return err
	}
	if info == nil {
		return store.ErrNoDatabase
	}
	offset := "null"
	if keys == nil && !r.part {
		offset = strconv.FormatUint(min(uint64(r.skip), info.Docs), 10)
	}
	w := c.begin("application/json")
	w.WriteString(`{"total_rows":` + strconv.FormatUint(info.Docs, 10) + `,"offset":` + offset + `,"rows":[`)
	l := listing{call: c, v: v, o: o, docs: docs}
	if keys != nil {
		err = l.keys(keys, r)
	} else {
		err = l.span(r)
	}
	if err != nil {
		return err
	}
	w.WriteString("\n]}\n")
	return c.end()
}

// rowParameters reads keys, from the query or the body, and takes the other
// members of a body for parameters of the query.
func (c *call) rowParameters() (keys []json.RawMessage, err error) {
	if list := c.query.Get("keys"); list != "" {
		if json.Unmarshal([]byte(list), &keys) != nil || keys == nil {
			return nil, badRequest("`keys` parameter must be an array.")
		}
	}
	if c.r.Method != http.MethodPost {
		return keys, nil
	}
	var body map[string]json.RawMessage
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	for name, value := range body {
		if name == "keys" {
			if json.Unmarshal(value, &keys) != nil || keys == nil {
				return nil, badRequest("`keys` body member must be an array.")
			}
			continue
		}
		if c.query == nil {
			c.query = url.Values{}
		}
		c.query.Set(name, string(value))
	}
	return keys, nil
}

// A listing writes the rows of _all_docs.
type listing struct {
	*call
	v    *store.View
	o    render
	docs bool
	rows int
}

func (l *listing) span(r idRange) error {
	if r.limit == 0 {
		return nil
	}
	for d, err := range l.v.Documents(l.db, r.Span) {
		if err != nil {
			return err
		}
		if d.Deleted {
			continue
		}
		if r.skip > 0 {
			r.skip--
			continue
		}
		if err := l.row(d); err != nil {
			return err
		}
		if l.rows == r.limit {
			break
		}
	}
	return nil
}

func (l *listing) keys(keys []json.RawMessage, r idRange) error {
	if r.Descending {
		for i, j := 0, len(keys)-1; i < j; i, j = i+1, j-1 {
			keys[i], keys[j] = keys[j], keys[i]
		}
	}
	for _, key := range keys[min(r.skip, len(keys)):] {
		if l.rows == r.limit {
			break
		}
		var id string
		var d *store.Document
		if json.Unmarshal(key, &id) == nil && key[0] == '"' {
			var err error
			if d, err = l.v.Document(l.db, id); err != nil {
				return err
			}
		}
		if d != nil {
			if err := l.row(d); err != nil {
				return err
			}
			continue
		}
		l.separate()
		l.out.WriteString(`{"key":` + string(key) + `,"error":"not_found"}`)
	}
	return nil
}

func (l *listing) separate() {
	if l.rows++; l.rows > 1 {
		l.out.WriteByte(',')
	}
	l.out.WriteByte('\n')
}

// row writes a document that is there, or was.
func (l *listing) row(d *store.Document) error {
	l.separate()
	id := appendJSON(nil, d.ID)
	b := append(append([]byte(`{"id":`), id...), `,"key":`...)
	b = append(append(b, id...), `,"value":{"rev":"`...)
	b = append(append(b, d.Rev.String()...), '"')
	if d.Deleted {
		b = append(b, `,"deleted":true`...)
	}
	l.out.Write(append(b, '}'))
	if l.docs {
		l.out.WriteString(`,"doc":`)
		if d.Deleted {
			l.out.WriteString("null")
		} else if err := l.writeDocument(l.out, l.v, d, store.Node{Rev: d.Rev, Leaf: true}, l.o); err != nil {
			return err
		}
	}
	return l.out.WriteByte('}')
}
