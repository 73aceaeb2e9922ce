package bigcouch

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"leap.example/services/bigcouch/store"
	"leap.example/services/bigcouch/view"
)

// userContext is what functions learn of who sent the request.
func (c *call) userContext() any {
	u := struct {
		DB    string   `json:"db"`
		Name  *string  `json:"name"`
		Roles []string `json:"roles"`
	}{c.db.Name, nil, c.user.Roles}
	if c.user.Name != "" {
		u.Name = &c.user.Name
	}
	if u.Roles == nil {
		u.Roles = []string{}
	}
	return u
}

// newDocument returns a document that is to be written as functions see it.
func newDocument(d *store.Doc, replicated bool) []byte {
	path := d.Path
	if !replicated && !d.Rev.IsZero() {
		path = []store.Rev{d.Rev}
	}
	b := appendJSON([]byte(`{"_id":`), d.ID)
	if len(path) > 0 {
		b = append(append(append(b, `,"_rev":"`...), path[0].String()...), '"')
	}
	if len(d.Body) > 2 {
		b = append(append(b, ','), d.Body[1:len(d.Body)-1]...)
	}
	if d.Deleted {
		b = append(b, `,"_deleted":true`...)
	}
	revs := revisions{IDs: []string{}}
	for i, r := range path {
		if i == 0 {
			revs.Start = r.Gen
		}
		revs.IDs = append(revs.IDs, r.Hash())
	}
	data, _ := json.Marshal(revs) // Strings and a number cannot fail.
	b = append(append(b, `,"_revisions":`...), data...)
	if len(d.Atts) > 0 {
		b = append(b, `,"_attachments":{`...)
		for i, a := range d.Atts {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendJSON(b, a.Name), `:{"content_type":`...)
			b = append(appendJSON(b, a.Type), `,"length":`...)
			b = append(strconv.AppendInt(b, a.Length, 10), `,"stub":true}`...)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

// refusalOf returns the refusal that a function has thrown.
func refusalOf(ctx context.Context, err error) (*store.Refusal, error) {
	e, thrown := errors.AsType[*view.Exception](err)
	if !thrown {
		if err = scriptError(err); ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	m, _ := exactly(e.Value) // Nil if it is no object.
	for _, name := range []string{"forbidden", "unauthorized"} {
		if raw := m[name]; raw != nil {
			reason := string(raw)
			_ = json.Unmarshal(raw, &reason) // What is no string is shown as it is.
			return &store.Refusal{Name: name, Reason: reason}, nil
		}
	}
	return &store.Refusal{Name: "unnamed_error", Reason: e.Text}, nil
}
