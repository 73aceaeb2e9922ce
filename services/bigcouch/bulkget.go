package bigcouch

import (
	"encoding/json"
	"mime/multipart"
	"net/http"
	"strconv"

	"leap.example/services/bigcouch/store"
)

// A wanted is one element of the body of _bulk_get.
type wanted struct {
	ID        *string         `json:"id"`
	Rev       string          `json:"rev"` // "": all leaves.
	AttsSince json.RawMessage `json:"atts_since"`
}

// bulkError says why an element of _bulk_get has no document.
type bulkError struct {
	ID     *string `json:"id"`
	Rev    *string `json:"rev"`
	Error  string  `json:"error"`
	Reason string  `json:"reason"`
}

// bulkGet serves many revisions of many documents.
func (c *call) bulkGet() error {
	for _, name := range []string{"open_revs", "new_edits", "w", "rev", "atts_since"} {
		if c.query.Has(name) {
			return badRequest("%q query parameter is not acceptable", name)
		}
	}
	o, err := c.renderFlags()
	if err != nil {
		return err
	}
	latest, err := c.flag("latest")
	if err != nil {
		return err
	}
	var body struct {
		Docs []json.RawMessage `json:"docs"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	if body.Docs == nil {
		return badRequest("Missing JSON list of 'docs'.")
	}
	if len(body.Docs) > maxBulk {
		return &wireError{http.StatusRequestEntityTooLarge, "max_bulk_get_count_exceeded", strconv.Itoa(maxBulk)}
	}
	v := c.view()
	defer v.Close()
	if !c.accepts(typeJSON) && (c.accepts(typeMixed) || c.accepts(typeRelated)) {
		return c.bulkGetParts(v, body.Docs, latest, o)
	}
	w := c.begin(typeJSON)
	w.WriteString(`{"results":[`)
	for i, data := range body.Docs {
		if i > 0 {
			w.WriteByte(',')
		}
		if err := c.writeBulkGet(v, data, latest, o); err != nil {
			return err
		}
	}
	w.WriteString("]}\n")
	return c.end()
}

// bulkGetParts answers with a part for each revision.
func (c *call) bulkGetParts(v *store.View, docs []json.RawMessage, latest bool, o render) error {
	media := typeMixed
	if !c.accepts(typeMixed) {
		media = typeRelated
	}
	o.attachments = true
	w := c.beginParts(media)
	for _, data := range docs {
		if err := c.writeBulkParts(w, v, data, latest, o); err != nil {
			return err
		}
	}
	return c.endParts(w)
}

func (c *call) writeBulkParts(w *multipart.Writer, v *store.View, data []byte, latest bool, o render) error {
	a := c.ask(v, data, latest)
	if a.err != nil {
		return a.err
	}
	for _, n := range a.found {
		if err := c.attsSince(a.doc, n.Rev, a.since, &o); err != nil {
			return err
		}
		if err := c.writeMixed(w, v, a.doc, n, o, true); err != nil {
			return err
		}
	}
	if a.refused == nil {
		return nil
	}
	reason, _ := json.Marshal(a.refused) // Strings cannot fail.
	return writeErrorPart(w, reason)
}

// writeBulkGet writes the element of one document.
func (c *call) writeBulkGet(v *store.View, data []byte, latest bool, o render) error {
	a := c.ask(v, data, latest)
	if a.err != nil {
		return a.err
	}
	id, _ := json.Marshal(a.id) // Strings cannot fail.
	w := c.out
	w.WriteString(`{"id":` + string(id) + `,"docs":[`)
	for i, n := range a.found {
		if i > 0 {
			w.WriteByte(',')
		}
		if err := c.attsSince(a.doc, n.Rev, a.since, &o); err != nil {
			return err
		}
		w.WriteString(`{"ok":`)
		if err := c.writeDocument(w, v, a.doc, n, o); err != nil {
			return err
		}
		w.WriteByte('}')
	}
	if a.refused != nil {
		reason, _ := json.Marshal(a.refused) // Strings cannot fail.
		w.WriteString(`{"error":` + string(reason) + `}`)
	}
	w.WriteString("]}")
	return nil
}

// An asked is what there is of an element of _bulk_get.
type asked struct {
	id      *string
	doc     *store.Document
	since   string // atts_since, checked.
	found   []store.Node
	refused *bulkError // In place of found.
	err     error      // Of the store.
}

// ask looks one element up.
func (c *call) ask(v *store.View, data []byte, latest bool) (a asked) {
	var want wanted
	refuse := func(rev *string, name, reason string) asked {
		a.found, a.refused = nil, &bulkError{a.id, rev, name, reason}
		return a
	}
	if len(data) == 0 || data[0] != '{' {
		return refuse(nil, "bad_request", "document must be a JSON object")
	}
	if json.Unmarshal(data, &want) != nil {
		return refuse(nil, "bad_request", "document has a member of the wrong type")
	}
	if a.id = want.ID; a.id == nil {
		return refuse(nil, "bad_request", "document id missed")
	}
	if len(want.AttsSince) > 0 {
		var names []string
		if json.Unmarshal(want.AttsSince, &names) != nil {
			return refuse(&want.Rev, "bad_request", "att_since value must be array of revs.")
		}
		if _, err := parseRevs(names); err != nil {
			return refuse(&want.Rev, "bad_request", "Invalid rev format")
		}
		if len(names) > 0 {
			a.since = string(want.AttsSince)
		}
	}
	if a.doc, a.err = v.Document(c.db, *want.ID); a.err != nil {
		return a
	}
	rev, list := want.Rev, "all"
	if rev == "" {
		rev = "undefined"
	} else {
		encoded, _ := json.Marshal([]string{rev}) // Strings cannot fail.
		list = string(encoded)
	}
	found, _, err := c.openRevs(a.doc, list, latest)
	if e, known := asWire(err); err != nil && known {
		return refuse(&rev, e.name, e.reason)
	}
	if a.err = err; err == nil && len(found) == 0 {
		return refuse(&rev, store.ErrMissing.Name, store.ErrMissing.Reason)
	}
	a.found = found
	return a
}
