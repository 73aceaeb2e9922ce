package bigcouch

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"leap.example/services/bigcouch/store"
	"leap.example/services/bigcouch/view"
)

// filterView passes what a view emits something for.
func (f *feed) filterView() error {
	ddoc, name, ok := strings.Cut(f.query.Get("view"), "/")
	if !ok {
		return badRequest("`view` must be of the form `designname/viewname`")
	}
	found, err := f.findView(store.DesignPrefix+ddoc, name)
	if err != nil {
		return err
	}
	f.passes = f.eachLeaf(func(v *store.View, d *store.Document, leaf store.Node) (bool, error) {
		doc, err := f.json(v, d, leaf, render{})
		if err != nil {
			return false, err
		}
		s, err := f.session(found.m.Native())
		if err != nil {
			return false, err
		}
		rows, err := found.m.Rows(f.ctx(), s, doc)
		return len(rows) > 0, f.script(err)
	})
	return nil
}

// filterFunction passes what the filter function ddoc/name passes.
func (f *feed) filterFunction(path string, body json.RawMessage) error {
	ddoc, name, ok := strings.Cut(path, "/")
	if !ok {
		return badRequest("filter parameter must be of the form `designname/filtername`")
	}
	v := f.view()
	found, err := f.namedDesign(v, ddoc)
	v.Close()
	if err != nil {
		return err
	}
	source := found.filters[name]
	if source == "" {
		return notFound("missing json key: " + name)
	}
	decision, err := view.CompileDecision(source)
	if err != nil {
		return &wireError{http.StatusBadRequest, "compilation_error", "Compilation of the filter function " + name + " failed: " + err.Error()}
	}
	request, err := f.request(body)
	if err != nil {
		return err
	}
	f.passes = f.eachLeaf(func(v *store.View, d *store.Document, leaf store.Node) (bool, error) {
		doc, err := f.json(v, d, leaf, render{revs: true})
		if err != nil {
			return false, err
		}
		s, err := f.session(false)
		if err != nil {
			return false, err
		}
		passes, err := decision.Passes(f.ctx(), s, doc, request)
		return passes, f.script(err)
	})
	return nil
}

// request returns what functions learn of the request, JSON.
func (f *feed) request(body json.RawMessage) ([]byte, error) {
	first := func(values url.Values) map[string]string {
		m := map[string]string{}
		for name := range values {
			m[name] = values.Get(name)
		}
		return m
	}
	cookies := map[string]string{}
	for _, c := range f.r.Cookies() {
		cookies[c.Name] = c.Value
	}
	headers := map[string]string{}
	for name := range f.r.Header {
		if name != "Authorization" && name != "Cookie" {
			headers[name] = f.r.Header.Get(name)
		}
	}
	delete(cookies, cookieName) // Who holds it is the user.
	security := f.db.Security
	if len(security) == 0 {
		security = []byte(defaultSecurity)
	}
	text := "undefined"
	if len(body) > 0 {
		text = string(body)
	}
	return json.Marshal(map[string]any{
		"info": map[string]any{"db_name": f.db.Name}, "id": nil, "uuid": newUUID(), "method": f.r.Method,
		"requested_path": f.path, "path": f.path, "raw_path": f.r.URL.RequestURI(), "query": first(f.query), "headers": headers,
		"body": text, "peer": "", "form": map[string]string{}, "cookie": cookies, "userCtx": f.userContext(),
		"secObj": json.RawMessage(security),
	})
}

// script ends the session after an error and says what the client sees of it.
func (f *feed) script(err error) error {
	if err == nil {
		return nil
	}
	f.pause()
	if e, thrown := errors.AsType[*view.Exception](err); thrown {
		return &wireError{http.StatusInternalServerError, "unnamed_error", e.Text}
	}
	return scriptError(err)
}

// session returns the session of the feed; nil if none is needed.
func (f *feed) session(native bool) (*view.Session, error) {
	if native || f.scripting != nil {
		return f.scripting, nil
	}
	s, err := f.scripts.Open(f.ctx())
	f.scripting = s
	return s, err
}

// pause gives the place for JavaScript to others.
func (f *feed) pause() {
	if f.scripting != nil {
		f.scripting.Close()
		f.scripting = nil
	}
}
