package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"leap.example/services/bigcouch/mango"
	"leap.example/services/bigcouch/order"
)

// DesignPrefix begins the ids of design documents. They are in no index.
const DesignPrefix = "_design/"

// An IndexID names the rows of an index: of this definition, in this version
// of package order. Zero: the documents by id.
type IndexID [8]byte

// An Index is the definition of an index and the name of its rows.
type Index struct {
	mango.Index
	ID IndexID
}

// indexRow is the content of the row of table x.
type indexRow struct {
	Indexes []indexDef `json:"indexes"`
}

type indexDef struct {
	DDoc string          `json:"ddoc"`
	Name string          `json:"name"`
	Def  json.RawMessage `json:"index"`
}

// parse returns the index of a definition, and whether it makes sense.
func (d indexDef) parse() (Index, bool) {
	data, err := json.Marshal(d)
	if err != nil {
		return Index{}, false
	}
	x, err := mango.ParseIndex(data)
	if err != nil {
		return Index{}, false
	}
	sum := sha256.Sum256(append(data, order.Version...))
	return Index{x, IndexID(sum[:8])}, true
}

// An indexSet is the parsed row of table x.
type indexSet struct {
	raw     string
	row     indexRow
	indexes []Index
}

// indexCache holds parsed sets, so that a write does not parse them anew.
type indexCache struct {
	mu sync.Mutex // Guards m.
	m  map[place]*indexSet
}

// maxIndexSets bounds the cache.
const maxIndexSets = 1024

// indexSet returns the indexes of a database.
func (s source) indexSet(cache *indexCache, p place) (*indexSet, error) {
	raw, err := s.get(p.indexes())
	if err != nil || raw == "" {
		return &indexSet{}, err
	}
	cache.mu.Lock()
	defer cache.mu.Unlock()
	if set := cache.m[p]; set != nil && set.raw == raw {
		return set, nil
	}
	set := &indexSet{raw: raw}
	if json.Unmarshal([]byte(raw), &set.row) != nil {
		return nil, errRow
	}
	for _, d := range set.row.Indexes {
		if x, ok := d.parse(); ok {
			set.indexes = append(set.indexes, x)
		}
	}
	if len(cache.m) >= maxIndexSets {
		clear(cache.m)
	}
	cache.m[p] = set
	return set, nil
}

// content decodes a body for matching and indexing.
func content(id string, rev Rev, data []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil || m == nil {
		return nil, errRow
	}
	m["_id"], m["_rev"] = id, rev.String()
	return m, nil
}

// winning returns the content of the winner of d if it has a place in indexes.
func (e *edit) winning(d *Document) (map[string]any, error) {
	if e.c.Indexes == 0 || d == nil || d.Deleted || strings.HasPrefix(d.ID, DesignPrefix) {
		return nil, nil
	}
	body, err := e.body(e.p, d, d.Rev)
	if err != nil {
		return nil, err
	}
	return content(d.ID, d.Rev, body.JSON)
}

// reindex moves the index rows of a document from the former winner's content
// to that of d, and takes the definitions out of a design document.
func (e *edit) reindex(before map[string]any, d *Document) error {
	if strings.HasPrefix(d.ID, DesignPrefix) {
		return e.define(d)
	}
	after, err := e.winning(d)
	if err != nil || before == nil && after == nil {
		return err
	}
	set, err := e.indexSet(&e.s.indexed, e.p)
	if err != nil {
		return err
	}
	for _, x := range set.indexes {
		from, to := e.p.indexKey(x, before, d.ID), e.p.indexKey(x, after, d.ID)
		if bytes.Equal(from, to) {
			continue
		}
		if from != nil {
			e.delete(from)
		}
		if to != nil {
			e.set(to, []byte(d.ID))
		}
	}
	return nil
}

// indexKey returns the key of a document's row in x, nil when it has none.
func (p place) indexKey(x Index, doc map[string]any, id string) []byte {
	if doc == nil {
		return nil
	}
	keys, ok := x.Keys(doc)
	if !ok {
		return nil
	}
	start, _ := p.indexRows(x.ID)
	return append(append(start, mango.KeyBytes(keys)...), id...)
}

// define brings the definitions of a design document into table x. Rows of
// definitions that are gone are dropped; new ones are built when they are
// first used.
func (e *edit) define(d *Document) error {
	if e.head.Version >= judgedVersion {
		e.c.Designs++
	}
	ddoc := strings.TrimPrefix(d.ID, DesignPrefix)
	var defs []indexDef
	if !d.Deleted {
		body, err := e.body(e.p, d, d.Rev)
		if err != nil {
			return err
		}
		defs = definitions(ddoc, body.JSON)
	}
	set, err := e.indexSet(&e.s.indexed, e.p)
	if err != nil {
		return err
	}
	var next indexRow
	kept := map[IndexID]bool{}
	for _, old := range set.row.Indexes {
		if old.DDoc != ddoc {
			next.Indexes = append(next.Indexes, old)
		}
	}
	next.Indexes = append(next.Indexes, defs...)
	for _, def := range next.Indexes {
		if x, ok := def.parse(); ok {
			kept[x.ID] = true
		}
	}
	for _, x := range set.indexes {
		if !kept[x.ID] {
			e.deleteRange(e.p.index(x.ID))
		}
	}
	e.c.Indexes = len(next.Indexes)
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	e.set(e.p.indexes(), data)
	return nil
}

// definitions returns the indexes of a design document of language "query", in
// order of their names.
func definitions(ddoc string, body []byte) []indexDef {
	var doc struct {
		Language string `json:"language"`
		Views    map[string]struct {
			Options struct {
				Def json.RawMessage `json:"def"`
			} `json:"options"`
		} `json:"views"`
	}
	if json.Unmarshal(body, &doc) != nil || doc.Language != "query" {
		return nil
	}
	var defs []indexDef
	for name, view := range doc.Views {
		if len(view.Options.Def) > 0 {
			defs = append(defs, indexDef{ddoc, name, view.Options.Def})
		}
	}
	slices.SortFunc(defs, func(a, b indexDef) int { return strings.Compare(a.Name, b.Name) })
	return defs
}
