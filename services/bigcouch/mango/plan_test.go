package mango_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"leap.example/services/bigcouch/mango"
)

func index(t testing.TB, ddoc, definition string) mango.Index {
	t.Helper()
	x, err := mango.ParseIndex(json.RawMessage(fmt.Sprintf(`{"index":%s,"ddoc":%q,"name":"n"}`, definition, ddoc)))
	if err != nil {
		t.Fatalf("%s: %v", definition, err)
	}
	return x
}

func TestParseIndex(t *testing.T) {
	x, err := mango.ParseIndex(json.RawMessage(
		`{"index":{"fields":["a",{"b.c":"asc"}],"partial_filter_selector":{"d":1}},"ddoc":"_design/x","name":"y","type":"json"}`))
	if err != nil {
		t.Fatal(err)
	}
	if x.DDoc != "x" || x.Name != "y" || !slices.Equal(x.Fields, []string{"a", "b.c"}) {
		t.Errorf("got %+v", x)
	}
	const def = `{"fields":[{"a":"asc"},{"b.c":"asc"}],"partial_filter_selector":{"d":1}}`
	if string(x.Def) != def {
		t.Errorf("Def is %s, want %s", x.Def, def)
	}
	again, err := mango.ParseIndex(json.RawMessage(`{"index":` + def + `}`))
	if err != nil || string(again.Def) != def || len(again.Name) != 40 || again.DDoc != again.Name {
		t.Errorf("parsed again: %+v, %v", again, err)
	}
	for doc, want := range map[string]any{
		`{"a":1,"b":{"c":[2]},"d":1}`: []any{1.0, []any{2.0}},
		`{"a":1,"b":{"c":2},"d":2}`:   []any(nil),
		`{"a":1,"b":{},"d":1}`:        []any(nil),
		`{"a":null,"b":1,"d":1}`:      []any(nil),
	} {
		got, ok := x.Keys(document(t, doc, false))
		if ok != (len(got) > 0) || cmp.Diff(want, any(got)) != "" {
			t.Errorf("%s: keys %v, %v, want %v", doc, got, ok, want)
		}
	}
	for body, word := range map[string]string{
		`[]`:                             "bad_request",
		`{}`:                             "missing_required_key",
		`{"index":null}`:                 "missing_required_key",
		`{"index":{}}`:                   "missing_required_key",
		`{"index":1}`:                    "invalid_index",
		`{"index":{"fields":[]}}`:        "invalid_index",
		`{"index":{"fields":"a"}}`:       "invalid_sort_json",
		`{"index":{"fields":[1]}}`:       "invalid_sort_field",
		`{"index":{"fields":["a.."]}}`:   "invalid_field_name",
		`{"index":{"fields":[{"a":1}]}}`: "invalid_sort_dir",
		`{"index":{"fields":[{"a":"asc"},{"b":"desc"}]}}`:                "unsupported_mixed_sort",
		`{"index":{"fields":["a"]},"type":"text"}`:                       "required index service unavailable",
		`{"index":{"fields":["a"]},"type":"special"}`:                    "invalid_index",
		`{"index":{"fields":["a"],"partial_filter_selector":{"$gt":1}}}`: "invalid_selector",
	} {
		_, err := mango.ParseIndex(json.RawMessage(body))
		if e, ok := errors.AsType[*mango.Error](err); !ok || e.Word != word {
			t.Errorf("%s: got %v, want %s", body, err, word)
		}
	}
}

func TestPlan(t *testing.T) {
	indexes := []mango.Index{
		index(t, "type", `{"fields":["type"]}`),
		index(t, "type-login", `{"fields":["type","login"]}`),
		index(t, "due", `{"fields":["type","next"]}`),
		index(t, "login", `{"fields":["login"]}`),
		index(t, "few", `{"fields":["login"],"partial_filter_selector":{"enabled":true}}`),
	}
	const warning = "No matching index found, create an index to optimize query time."
	tests := []struct {
		selector, sort, use string
		ddoc                string // "" for all documents.
		desc                bool
		warning             string
	}{
		{`{"type":"User"}`, ``, ``, "type", false, ""},
		{`{"type":"User","login":"a"}`, ``, ``, "type-login", false, ""},
		{`{"type":"User","next":{"$lt":5}}`, ``, ``, "due", false, ""},
		{`{"type":"User","login":{"$exists":true}}`, ``, ``, "type", false, ""},
		{`{"login":"a","x":1}`, ``, ``, "login", false, ""},
		{`{"login":{"$exists":false}}`, ``, ``, "", false, warning},
		{`{"$or":[{"login":"a"},{"login":"b"}]}`, ``, ``, "login", false, ""},
		{`{"$or":[{"login":"a"},{"x":"b"}]}`, ``, ``, "", false, warning},
		{`{"x":1}`, `[]`, ``, "", false, warning},
		{`{}`, ``, ``, "", false, warning},
		{`{"login":"a","enabled":true}`, ``, `"few"`, "few", false, ""},
		{`{"login":"a","enabled":true}`, ``, `["_design/few","n"]`, "few", false, ""},
		{`{"login":"a"}`, ``, `"other"`, "login", false, "_design/other was not used because it does not contain a valid index for this query."},
		{`{"login":"a"}`, ``, `["due","n"]`, "login", false, "_design/due, n was not used because it is not a valid index for this query."},
		{`{"type":"User"}`, `["next"]`, ``, "due", false, ""},
		{`{"type":"User"}`, `[{"next":"desc"}]`, ``, "due", true, ""},
		{`{"type":"User"}`, `[{"type":"desc"},{"login":"desc"}]`, ``, "type-login", true, ""},
		{`{"x":1}`, `["login"]`, ``, "login", false, ""},
		{`{"x":1}`, `[{"_id":"desc"}]`, ``, "", true, warning},
	}
	for _, tt := range tests {
		p, err := mango.PlanQuery(selector(t, tt.selector), indexes, json.RawMessage(tt.sort), json.RawMessage(tt.use))
		if err != nil {
			t.Errorf("%s: %v", tt.selector, err)
			continue
		}
		ddoc := ""
		if p.Index != nil {
			ddoc = p.Index.DDoc
		}
		if ddoc != tt.ddoc || p.Descending != tt.desc || p.Warning != tt.warning {
			t.Errorf("%s sort %s use %s: index %q descending %v warning %q, want %q %v %q",
				tt.selector, tt.sort, tt.use, ddoc, p.Descending, p.Warning, tt.ddoc, tt.desc, tt.warning)
		}
	}
	for request, word := range map[[3]string]string{
		{`{"x":1}`, `["x"]`, ``}:                      "no_usable_index",
		{`{"next":1}`, `["next"]`, ``}:                "no_usable_index",
		{`{"type":{"$gt":""}}`, `["next"]`, ``}:       "no_usable_index",
		{`{"x":1}`, `["login","x"]`, ``}:              "no_usable_index",
		{`{"x":1}`, `[{"a":"asc"},{"b":"desc"}]`, ``}: "unsupported_mixed_sort",
		{`{"x":1}`, `{}`, ``}:                         "invalid_sort_json",
		{`{"x":1}`, ``, `1`}:                          "invalid_index_name",
		{`{"x":1}`, ``, `["a","b","c"]`}:              "invalid_index_name",
	} {
		_, err := mango.PlanQuery(selector(t, request[0]), indexes, json.RawMessage(request[1]), json.RawMessage(request[2]))
		if e, ok := errors.AsType[*mango.Error](err); !ok || e.Word != word {
			t.Errorf("%v: got %v, want %s", request, err, word)
		}
	}
}

// values, documents and selectors of few fields and few values, so that they
// meet.
func values() *rapid.Generator[any] {
	return rapid.SampledFrom([]any{nil, false, 0.0, 1.0, 2.0, "", "a", "B", "b", []any{}, []any{1.0}, map[string]any{}})
}

func documents() *rapid.Generator[map[string]any] {
	return rapid.Custom(func(t *rapid.T) map[string]any {
		doc := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), values(), 0, 3).Draw(t, "doc")
		doc["_id"] = rapid.SampledFrom([]string{"a", "B", "b", "ba", "c"}).Draw(t, "id")
		return doc
	})
}

func selectors() *rapid.Generator[map[string]any] {
	var selector *rapid.Generator[map[string]any]
	selector = rapid.Custom(func(t *rapid.T) map[string]any {
		out := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			name := rapid.SampledFrom([]string{"a", "b", "c", "_id"}).Draw(t, "field")
			op := rapid.SampledFrom([]string{"$eq", "$eq", "$gt", "$gte", "$lt", "$lte", "$ne", "$exists"}).Draw(t, "op")
			var arg any = true
			if op != "$exists" {
				arg = values().Draw(t, "arg")
			}
			if c, ok := out[name].(map[string]any); ok {
				c[op] = arg
			} else {
				out[name] = map[string]any{op: arg}
			}
		}
		if op := rapid.SampledFrom([]string{"", "", "", "$and", "$or", "$nor"}).Draw(t, "combination"); op != "" {
			out[op] = rapid.SliceOfN(selector, 1, 2).Draw(t, op)
		}
		return out
	})
	return selector
}

// Whatever index is chosen, the rows of its range contain all that matches.
func TestRangeHoldsEveryMatch(t *testing.T) {
	indexes := []mango.Index{
		index(t, "a", `{"fields":["a"]}`), index(t, "ab", `{"fields":["a","b"]}`), index(t, "bc", `{"fields":["b","c"]}`),
		index(t, "c", `{"fields":["c","_id"]}`),
	}
	rapid.Check(t, func(t *rapid.T) {
		text, err := json.Marshal(selectors().Draw(t, "selector"))
		if err != nil {
			t.Fatal(err)
		}
		sel, err := mango.ParseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		sort := rapid.SampledFrom([]string{``, ``, `["a"]`, `["b"]`, `[{"c":"desc"}]`, `["_id"]`}).Draw(t, "sort")
		plan, err := mango.PlanQuery(sel, indexes, json.RawMessage(sort), nil)
		if err != nil {
			if e, ok := errors.AsType[*mango.Error](err); ok && e.Word == "no_usable_index" {
				return
			}
			t.Fatal(err)
		}
		for range 8 {
			doc := documents().Draw(t, "doc")
			if !sel.Match(doc) {
				continue
			}
			row := []byte(doc["_id"].(string))
			if plan.Index != nil {
				keys, ok := plan.Index.Keys(doc)
				if !ok {
					if sort != "" {
						continue // What cannot be sorted is no answer.
					}
					t.Fatalf("%s: %v has no row in %s", text, doc, plan.Index.DDoc)
				}
				row = append(mango.KeyBytes(keys), row...)
			}
			if bytes.Compare(row, plan.Start) < 0 || plan.End != nil && bytes.Compare(row, plan.End) >= 0 {
				t.Fatalf("%s: row %x of %v is not in [%x, %x)", text, row, doc, plan.Start, plan.End)
			}
		}
	})
}

func FuzzParseIndex(f *testing.F) {
	f.Add(`{"index":{"fields":["a",{"b.c":"asc"}],"partial_filter_selector":{"d":1}},"ddoc":"x","name":"y"}`)
	f.Add(`{"index":{"fields":[{"a":"desc"}]},"type":"json"}`)
	f.Add(`{"index":{"fields":["a\\.b","a.b"]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		x, err := mango.ParseIndex(json.RawMessage(text))
		if err != nil {
			if _, ok := errors.AsType[*mango.Error](err); !ok {
				t.Fatalf("%q: %v is no *Error", text, err)
			}
			return
		}
		body, err := json.Marshal(map[string]any{"index": x.Def, "ddoc": x.DDoc, "name": x.Name})
		if err != nil {
			t.Fatal(err)
		}
		y, err := mango.ParseIndex(body)
		if err != nil || !bytes.Equal(x.Def, y.Def) || x.Name != y.Name || !slices.Equal(x.Fields, y.Fields) {
			t.Fatalf("%q: %+v, parsed again %+v, %v", text, x, y, err)
		}
	})
}
