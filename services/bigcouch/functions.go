package bigcouch

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"leap.example/services/bigcouch/order"
	"leap.example/services/bigcouch/store"
	"leap.example/services/bigcouch/view"
)

// A design has the functions of one revision of a design document, compiled.
// Nothing changes it.
type design struct {
	id       string // With "_design/".
	language string
	views    map[string]*mapReduce
	filters  map[string]string
	validate string // Source of validate_doc_update; "": none.
	decision *view.Decision
	err      error // Why there is no decision although there is a source.
}

// A mapReduce is one view.
type mapReduce struct {
	id      store.ViewID // Of the rows of the map.
	m       *view.Map
	reduce  *view.Reduce // Nil: none.
	designs bool         // Design documents are mapped too.
	err     error        // Why it does not compile.
}

// A designKey names a revision in an incarnation of a database.
type designKey struct {
	shard uint16
	db    uint64
	id    string
	rev   store.Rev
}

// functions caches designs.
type functions struct {
	mu sync.Mutex // Guards m.
	m  map[designKey]*design
}

// maxDesigns bounds the cache.
const maxDesigns = 1024

// rowForm is the form of view rows. Rows of another one are made anew.
const rowForm = "1"

// design returns the functions of a design document that is there.
func (c *call) design(v *store.View, d *store.Document) (*design, error) {
	return c.functionsOf(designKey{c.db.Shard, c.db.ID, d.ID, d.Rev}, func() ([]byte, error) {
		body, err := v.Body(c.db, d, d.Rev)
		return body.JSON, err
	})
}

// functionsOf returns the functions of a revision, whose body is read if they
// are not known.
func (c *call) functionsOf(key designKey, read func() ([]byte, error)) (*design, error) {
	c.functions.mu.Lock()
	known := c.functions.m[key]
	c.functions.mu.Unlock()
	if known != nil {
		return known, nil
	}
	body, err := read()
	if err != nil {
		return nil, err
	}
	made := compileDesign(key.id, body)
	c.functions.mu.Lock()
	defer c.functions.mu.Unlock()
	if len(c.functions.m) >= maxDesigns || c.functions.m == nil {
		c.functions.m = map[designKey]*design{}
	}
	c.functions.m[key] = made
	return made, nil
}

// namedDesign returns the functions of the design document of a name, with or
// without "_design/".
func (c *call) namedDesign(v *store.View, id string) (*design, error) {
	if !isDesign(id) {
		id = store.DesignPrefix + id
	}
	d, err := v.Document(c.db, id)
	switch {
	case err != nil:
		return nil, err
	case d == nil:
		return nil, store.ErrMissing
	case d.Deleted:
		return nil, store.ErrDeleted
	}
	return c.design(v, d)
}

// compileDesign compiles what it can of a design document and notes what it
// cannot.
func compileDesign(id string, body []byte) *design {
	d := &design{id: id, language: "javascript", views: map[string]*mapReduce{}}
	doc, _ := exactly(body) // Nil where it is no object, which no body is.
	if raw := doc["language"]; raw != nil && json.Unmarshal(raw, &d.language) != nil {
		d.language = string(raw)
	}
	if d.language != "javascript" {
		return d
	}
	options := map[string]json.RawMessage{}
	_ = json.Unmarshal(doc["options"], &options) // Other forms mean nothing.
	designs := string(options["include_design"]) == "true"
	var views map[string]json.RawMessage
	_ = json.Unmarshal(doc["views"], &views) // Checked when it was written.
	for name, raw := range views {
		if f := compileView(raw, designs); f != nil {
			d.views[name] = f
		}
	}
	_ = json.Unmarshal(doc["filters"], &d.filters)
	_ = json.Unmarshal(doc["validate_doc_update"], &d.validate)
	if d.validate != "" {
		d.decision, d.err = view.CompileDecision(d.validate)
	}
	return d
}

// compileView compiles a member of views; nil if it is none, as is "lib", which
// has no map.
func compileView(raw []byte, designs bool) *mapReduce {
	var source struct{ Map, Reduce string }
	if json.Unmarshal(raw, &source) != nil || source.Map == "" {
		return nil
	}
	f := &mapReduce{designs: designs}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %t %s", rowForm, order.Version, designs, source.Map))
	copy(f.id[:], sum[:])
	if f.m, f.err = view.CompileMap(source.Map); f.err == nil && source.Reduce != "" {
		f.reduce, f.err = view.CompileReduce(source.Reduce)
	}
	return f
}

// checkDesign refuses a design document whose functions do not compile.
func checkDesign(body []byte) *store.Refusal {
	invalid := func(format string, args ...any) *store.Refusal {
		return &store.Refusal{Name: "invalid_design_doc", Reason: fmt.Sprintf(format, args...)}
	}
	doc, err := exactly(body)
	if err != nil {
		return invalid("Design document must be an object")
	}
	var language string
	if raw := doc["language"]; raw != nil && json.Unmarshal(raw, &language) != nil {
		return invalid("`language` must be a string")
	}
	members := map[string]map[string]json.RawMessage{}
	for _, name := range []string{"options", "filters", "views", "lists", "shows", "updates"} {
		if raw := doc[name]; raw != nil {
			if bytes.Equal(raw, []byte("null")) || json.Unmarshal(raw, new(map[string]json.RawMessage)) != nil {
				return invalid("`%s` must be an object", name)
			}
			m, _ := exactly(raw)
			members[name] = m
		}
	}
	if language != "" && language != "javascript" {
		return nil
	}
	for name, raw := range members["views"] {
		if refusal := checkView(name, raw, invalid); refusal != nil {
			return refusal
		}
	}
	for name, raw := range members["filters"] {
		if refusal := checkSource("filter function "+name, raw, invalid); refusal != nil {
			return refusal
		}
	}
	if raw := doc["validate_doc_update"]; raw != nil {
		return checkSource("validate_doc_update function", raw, invalid)
	}
	return nil
}

func checkView(name string, raw []byte, invalid func(string, ...any) *store.Refusal) *store.Refusal {
	v, err := exactly(raw)
	if err != nil {
		return invalid("View `%s` must be an object", name)
	}
	if v["map"] == nil {
		return nil // A library.
	}
	if refusal := checkSource("map function in the '"+name+"' view", v["map"], invalid); refusal != nil {
		return refusal
	}
	if v["reduce"] == nil {
		return nil
	}
	var source string
	if json.Unmarshal(v["reduce"], &source) != nil {
		return invalid("`reduce` of view `%s` must be a string", name)
	}
	if _, err := view.CompileReduce(source); source != "" && err != nil {
		return &store.Refusal{Name: "compilation_error", Reason: "Compilation of the reduce function in the '" + name + "' view failed: " + err.Error()}
	}
	return nil
}

func checkSource(what string, raw []byte, invalid func(string, ...any) *store.Refusal) *store.Refusal {
	var source string
	if json.Unmarshal(raw, &source) != nil {
		return invalid("The %s must be a string", what)
	}
	if err := view.Check(source); err != nil {
		return &store.Refusal{Name: "compilation_error", Reason: "Compilation of the " + what + " failed: " + err.Error()}
	}
	return nil
}

// view returns a view of d by its name.
func (d *design) view(name string) (*mapReduce, error) {
	f := d.views[name]
	switch {
	case d.language != "javascript":
		return nil, &wireError{http.StatusBadRequest, "unknown_query_language", d.language}
	case f == nil:
		return nil, notFound("missing_named_view")
	case f.err != nil:
		return nil, &wireError{http.StatusBadRequest, "compilation_error", "Compilation of the '" + name + "' view failed: " + f.err.Error()}
	}
	return f, nil
}
