package bonafide

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/url"
	"strings"

	"leap.example/services/protocol/problem"
)

// MaxBody is the greatest length of a request, bytes: an armored key, percent
// encoded.
const MaxBody = 256 << 10

// FormType is the media type of what Encode writes.
const FormType = "application/x-www-form-urlencoded"

// fields are the members of a request by their names in a form.
type fields map[string]string

// decode reads a form or a JSON object.
func decode(contentType string, body []byte) (fields, error) {
	if len(body) > MaxBody {
		return nil, problem.Invalid.Errorf("request has more than %d bytes", MaxBody)
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, problem.Invalid.Errorf("request has no media type")
	}
	switch media {
	case FormType:
		return decodeForm(body)
	case "application/json":
		return decodeJSON(body)
	}
	return nil, problem.Invalid.Errorf("request is neither a form nor JSON")
}

func decodeForm(body []byte) (fields, error) {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, problem.Invalid.Errorf("malformed form")
	}
	f := fields{}
	for name, v := range values {
		if len(v) != 1 {
			return nil, problem.Invalid.Errorf("a member occurs twice")
		}
		f[name] = v[0]
	}
	return f, nil
}

func decodeJSON(body []byte) (fields, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil || d.More() {
		return nil, problem.Invalid.Errorf("malformed JSON object")
	}
	f := fields{}
	for name, v := range object {
		if !strings.ContainsAny(name, "[]") {
			f.add(name, v, 0)
		}
	}
	return f, nil
}

// add flattens v to the names that a form would use. What no request of this
// API has (lists, deeper nesting, brackets in a name) is left out.
func (f fields) add(name string, v any, depth int) {
	switch v := v.(type) {
	case string:
		f[name] = v
	case json.Number:
		f[name] = v.String()
	case map[string]any:
		if depth < 2 {
			for member, inner := range v {
				if !strings.ContainsAny(member, "[]") {
					f.add(name+"["+member+"]", inner, depth+1)
				}
			}
		}
	}
}

// encode writes f as a form, sorted by name.
func (f fields) encode() []byte {
	v := url.Values{}
	for name, value := range f {
		v.Set(name, value)
	}
	return []byte(v.Encode())
}

// set records a member unless it is empty.
func (f fields) set(name, value string) {
	if value != "" {
		f[name] = value
	}
}

// optional returns a pointer to the member, or nil.
func (f fields) optional(name string) *string {
	if v, ok := f[name]; ok {
		return &v
	}
	return nil
}

// setOptional records what p points to, also when it is empty.
func (f fields) setOptional(name string, p *string) {
	if p != nil {
		f[name] = *p
	}
}
