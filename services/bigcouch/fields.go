package bigcouch

import (
	"encoding/json"
	"net/http"
	"strings"

	"leap.example/services/bigcouch/store"
)

// A fieldPath leads to a value inside a document.
type fieldPath []string

// parseFields reads the member "fields": names, whose dots are steps unless a
// backslash stands before them.
func parseFields(raw json.RawMessage) ([]fieldPath, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var names []string
	if json.Unmarshal(raw, &names) != nil {
		return nil, &wireError{http.StatusBadRequest, "invalid_fields_json", "Fields must be an array of strings"}
	}
	var fields []fieldPath
	for _, name := range names {
		fields = append(fields, splitField(name))
	}
	return fields, nil
}

func splitField(name string) fieldPath {
	var path fieldPath
	var step strings.Builder
	for i := 0; i < len(name); i++ {
		switch {
		case name[i] == '\\' && i+1 < len(name):
			i++
			step.WriteByte(name[i])
		case name[i] == '.':
			path = append(path, step.String())
			step.Reset()
		default:
			step.WriteByte(name[i])
		}
	}
	return append(path, step.String())
}

// project returns the chosen fields of a document, each at its place.
func project(doc map[string]any, fields []fieldPath) map[string]any {
	out := map[string]any{}
	for _, path := range fields {
		var v any = doc
		ok := true
		for _, step := range path {
			var m map[string]any
			if m, ok = v.(map[string]any); ok {
				v, ok = m[step]
			}
			if !ok {
				break
			}
		}
		if ok {
			put(out, path, v)
		}
	}
	return out
}

func put(m map[string]any, path fieldPath, v any) {
	for _, step := range path[:len(path)-1] {
		next, ok := m[step].(map[string]any)
		if !ok {
			next = map[string]any{}
			m[step] = next
		}
		m = next
	}
	m[path[len(path)-1]] = v
}

func isDesign(id string) bool { return strings.HasPrefix(id, store.DesignPrefix) }
