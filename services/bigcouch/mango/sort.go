package mango

import (
	"encoding/json"
	"strings"
)

// parseSort reads the member "sort" of a query, or "fields" of an index: names
// and {"name": "asc" or "desc"}, all in one direction. Absent, null and empty
// are no fields.
func parseSort(raw json.RawMessage) (fields []field, desc bool, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, false, nil
	}
	v, err := decode(raw)
	if err != nil {
		return nil, false, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, false, refuse("invalid_sort_json", "Sort must be an array of sort specs, not: %.200s", brief(v))
	}
	for i, item := range list {
		name, direction, err := sortItem(item)
		if err != nil {
			return nil, false, err
		}
		f, err := parseField(name)
		if err != nil {
			return nil, false, err
		}
		if i > 0 && desc != direction {
			return nil, false, refuse("unsupported_mixed_sort", "Sorts currently only support a single direction for all fields.")
		}
		desc = direction
		fields = append(fields, f)
	}
	return fields, desc, nil
}

func sortItem(item any) (name string, desc bool, err error) {
	if s, ok := item.(string); ok {
		return s, false, nil
	}
	m, _ := item.(map[string]any)
	if len(m) != 1 {
		return "", false, refuse("invalid_sort_field", "Invalid sort field: %.200s", brief(item))
	}
	for name, direction := range m {
		if direction != "asc" && direction != "desc" {
			return "", false, refuse("invalid_sort_dir", "Invalid sort direction: %.200s", brief(direction))
		}
		return name, direction == "desc", nil
	}
	panic("unreachable")
}

// A wish is the member "use_index" of a query; zero: none.
type wish struct{ ddoc, name string }

// parseUse reads "ddoc", ["ddoc"] or ["ddoc", "name"].
func parseUse(raw json.RawMessage) (wish, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return wish{}, nil
	}
	var one string
	var list []string
	if json.Unmarshal(raw, &one) == nil {
		list = []string{one}
	} else if json.Unmarshal(raw, &list) != nil || len(list) > 2 {
		return wish{}, refuse("invalid_index_name", "Invalid index name: %.200s", raw)
	}
	list = append(list, "", "")
	return wish{strings.TrimPrefix(list[0], "_design/"), list[1]}, nil
}

func (w wish) names(x Index) bool {
	return w.ddoc != "" && w.ddoc == x.DDoc && (w.name == "" || w.name == x.Name)
}
