package bigcouch

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"leap.example/services/bigcouch/mango"
	"leap.example/services/bigcouch/store"
)

// An indexInfo is one index as GET _index and _explain show it.
type indexInfo struct {
	DDoc *string         `json:"ddoc"`
	Name string          `json:"name"`
	Type string          `json:"type"`
	Def  json.RawMessage `json:"def"`
}

var allDocsIndex = indexInfo{nil, "_all_docs", "special", json.RawMessage(`{"fields":[{"_id":"asc"}]}`)}

func infoOf(x mango.Index) indexInfo {
	ddoc := store.DesignPrefix + x.DDoc
	return indexInfo{&ddoc, x.Name, "json", x.Def}
}

func (c *call) indexes() error {
	v := c.view()
	defer v.Close()
	indexes, err := c.store.Indexes(v, c.db)
	if err != nil {
		return err
	}
	list := []indexInfo{allDocsIndex}
	for _, x := range indexes {
		list = append(list, infoOf(x.Index))
	}
	slices.SortStableFunc(list[1:], func(a, b indexInfo) int {
		return strings.Compare(*a.DDoc+"\x00"+a.Name, *b.DDoc+"\x00"+b.Name)
	})
	c.reply(http.StatusOK, struct {
		Total   int         `json:"total_rows"`
		Indexes []indexInfo `json:"indexes"`
	}{len(list), list})
	return nil
}

// indexView is one member of a design document's views, of language "query".
type indexView struct {
	Map     json.RawMessage `json:"map"`
	Reduce  string          `json:"reduce"`
	Options viewOptions     `json:"options"`
}

type viewOptions struct {
	Def json.RawMessage `json:"def"`
}

// createIndex puts a definition into its design document.
func (c *call) createIndex() error {
	data, err := c.postJSON()
	if err != nil {
		return err
	}
	if data[0] != '{' {
		return errNotObject
	}
	x, err := mango.ParseIndex(data)
	if err != nil {
		return err
	}
	if err := c.wantDatabaseAdmin(); err != nil {
		return err
	}
	if err := c.writable(); err != nil {
		return err
	}
	result := "exists"
	err = c.changeViews(x.DDoc, func(views map[string]json.RawMessage) (bool, error) {
		def, err := json.Marshal(indexView{mapOf(x), "_count", viewOptions{x.Def}})
		if err != nil || string(views[x.Name]) == string(def) {
			return false, err
		}
		result, views[x.Name] = "created", def
		return true, nil
	})
	if err != nil {
		return err
	}
	c.reply(http.StatusOK, struct {
		Result string `json:"result"`
		ID     string `json:"id"`
		Name   string `json:"name"`
	}{result, store.DesignPrefix + x.DDoc, x.Name})
	return nil
}

// mapOf returns the member "map" that CouchDB writes for an index.
func mapOf(x mango.Index) json.RawMessage {
	var def struct {
		Fields  []map[string]string `json:"fields"`
		Partial json.RawMessage     `json:"partial_filter_selector,omitempty"`
	}
	if json.Unmarshal(x.Def, &def) != nil {
		return json.RawMessage("{}")
	}
	fields := map[string]string{}
	for _, f := range def.Fields {
		maps.Copy(fields, f)
	}
	if def.Partial == nil {
		def.Partial = json.RawMessage("{}")
	}
	data, err := json.Marshal(map[string]any{"fields": fields, "partial_filter_selector": def.Partial})
	if err != nil {
		return json.RawMessage("{}")
	}
	return data
}

// changeViews edits the views of a design document of language "query" until
// no other writer comes between. f reports whether it has changed something.
func (c *call) changeViews(ddoc string, f func(map[string]json.RawMessage) (bool, error)) error {
	id := store.DesignPrefix + ddoc
	if err := checkID(id); err != nil {
		return err
	}
	for tries := 0; ; tries++ {
		v := c.view()
		d, body, err := c.revision(v, id, "")
		v.Close()
		if err != nil {
			return err
		}
		doc := map[string]json.RawMessage{"language": json.RawMessage(`"query"`)}
		out := store.Doc{ID: id}
		if d != nil {
			out.Rev = d.Rev
			if doc, err = exactly(body.JSON); err != nil {
				return err
			}
			if string(doc["language"]) != `"query"` {
				return &wireError{http.StatusBadRequest, "invalid_ddoc", "Design document has another language than query"}
			}
		}
		views := map[string]json.RawMessage{}
		if doc["views"] != nil && json.Unmarshal(doc["views"], &views) != nil {
			return &wireError{http.StatusBadRequest, "invalid_ddoc", "Design document has malformed views"}
		}
		changed, err := f(views)
		if err != nil || !changed {
			return err
		}
		if out.Deleted = len(views) == 0; !out.Deleted {
			if doc["views"], err = json.Marshal(views); err != nil {
				return err
			}
			if out.Body, err = json.Marshal(doc); err != nil {
				return err
			}
		} else {
			out.Body = []byte("{}")
		}
		r, err := c.writeAs(store.OpID{}, []draft{{Doc: out}}, false)
		switch {
		case err != nil:
			return err
		case r[0].Err == nil:
			return nil
		case !errors.Is(r[0].Err, store.ErrConflict) || tries == 10:
			return r[0].Err
		}
	}
}

// deleteIndex serves DELETE _index/[_design/]DDOC/json/NAME.
func (c *call) deleteIndex() error {
	path := c.path[2:]
	if len(path) > 0 && path[0]+"/" == store.DesignPrefix {
		path = path[1:]
	}
	if len(path) != 3 || path[1] != "json" {
		return errNoHandler
	}
	if err := c.wantDatabaseAdmin(); err != nil {
		return err
	}
	name := path[2]
	err := c.changeViews(strings.TrimPrefix(path[0], store.DesignPrefix), func(views map[string]json.RawMessage) (bool, error) {
		if views[name] == nil {
			return false, store.ErrMissing
		}
		delete(views, name)
		return true, nil
	})
	if err != nil {
		return err
	}
	c.reply(http.StatusOK, okReply)
	return nil
}

// explain says how _find would go about a query.
func (c *call) explain() error {
	q, err := c.newQuery()
	if err != nil {
		return err
	}
	v := c.view()
	defer v.Close()
	if err := q.choose(v); err != nil {
		return err
	}
	info := allDocsIndex
	if q.plan.Index != nil {
		info = infoOf(*q.plan.Index)
	}
	var fields any = "all_fields"
	if q.fields != nil {
		fields = q.req.Fields
	}
	orEmpty := func(raw json.RawMessage, empty string) json.RawMessage {
		if raw == nil {
			return json.RawMessage(empty)
		}
		return raw
	}
	direction := "fwd"
	if q.plan.Descending {
		direction = "rev"
	}
	c.reply(http.StatusOK, map[string]any{
		"dbname": c.db.Name, "index": info, "partitioned": false, "selector": q.req.Selector,
		"opts": map[string]any{
			"use_index": orEmpty(q.req.UseIndex, "[]"), "bookmark": orNil(q.req.Bookmark), "limit": q.limit, "skip": q.req.Skip,
			"sort": orEmpty(q.req.Sort, "{}"), "fields": fields, "conflicts": q.req.Conflicts, "execution_stats": q.req.Stats,
		},
		"limit": q.limit, "skip": q.req.Skip, "fields": fields,
		"mrargs": map[string]any{"direction": direction, "include_docs": true},
	})
	return nil
}

func orNil(bookmark string) string {
	if bookmark == "" {
		return "nil"
	}
	return bookmark
}
