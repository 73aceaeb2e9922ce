package bigcouch

import (
	"encoding/json"
	"net/http"
	"slices"

	"leap.example/services/bigcouch/mango"
	"leap.example/services/bigcouch/store"
)

// A filter returns those of the leaves of a change that pass. The leaves are
// the winner, or all with style=all_docs. A change none of whose leaves passes
// is not shown.
type filter func(v *store.View, ch store.Change, leaves []store.Rev) ([]store.Rev, error)

// eachLeaf makes a filter of a question about one leaf.
func (c *call) eachLeaf(passes func(v *store.View, d *store.Document, leaf store.Node) (bool, error)) filter {
	return func(v *store.View, ch store.Change, leaves []store.Rev) ([]store.Rev, error) {
		d, err := v.Document(c.db, ch.ID)
		if err != nil || d == nil {
			return nil, err
		}
		tree, err := d.Tree()
		if err != nil {
			return nil, err
		}
		var passed []store.Rev
		for _, r := range leaves {
			n, ok := tree.Node(r)
			if !ok || !n.Leaf {
				continue
			}
			if ok, err = passes(v, d, n); err != nil {
				return nil, err
			}
			if ok {
				passed = append(passed, r)
			}
		}
		return passed, nil
	}
}

// A filterBody is the body of a POST to _changes.
type filterBody struct {
	IDs      []string        `json:"doc_ids"`
	Selector json.RawMessage `json:"selector"`
	Fields   json.RawMessage `json:"fields"`
}

// filter reads which changes are wanted. A body with doc_ids but no filter in
// the query means that filter, as it does to CouchDB's own clients.
func (f *feed) filter() error {
	var body filterBody
	var data []byte
	if f.r.Method == http.MethodPost {
		if err := f.wantJSON(); err != nil {
			return err
		}
		var err error
		if data, err = f.readBody(); err != nil {
			return err
		}
		if len(data) > 0 && json.Unmarshal(data, &body) != nil {
			return errBadJSON
		}
	}
	name := f.query.Get("filter")
	if name == "" && body.IDs != nil {
		name = "_doc_ids"
	}
	switch name {
	case "":
		return nil
	case "_doc_ids":
		return f.filterIDs(body.IDs)
	case "_selector":
		return f.filterSelector(body)
	case "_design":
		f.passes = func(_ *store.View, ch store.Change, leaves []store.Rev) ([]store.Rev, error) {
			if !isDesign(ch.ID) {
				leaves = nil
			}
			return leaves, nil
		}
		return nil
	case "_view":
		return f.filterView()
	}
	return f.filterFunction(name, data)
}

func (f *feed) filterIDs(ids []string) error {
	if list := f.query.Get("doc_ids"); ids == nil && list != "" {
		if json.Unmarshal([]byte(list), &ids) != nil {
			ids = nil
		}
	}
	if ids == nil {
		return badRequest("`doc_ids` filter parameter is not a list of doc ids.")
	}
	ids = slices.Clone(ids)
	slices.Sort(ids)
	f.ids = slices.Compact(ids)
	return nil
}

func (f *feed) filterSelector(body filterBody) error {
	if body.Selector == nil {
		return badRequest("Selector must be specified in POST payload")
	}
	if body.Selector[0] != '{' {
		return badRequest("Selector error: expected a JSON Object")
	}
	sel, err := mango.ParseSelector(body.Selector)
	if err != nil {
		return err
	}
	if f.fields, err = parseFields(body.Fields); err != nil {
		return badRequest("Selector error: fields must be JSON array")
	}
	f.passes = f.eachLeaf(func(v *store.View, d *store.Document, leaf store.Node) (bool, error) {
		doc, err := v.LeafContent(f.db, d, leaf)
		return err == nil && sel.Match(doc), err
	})
	return nil
}
