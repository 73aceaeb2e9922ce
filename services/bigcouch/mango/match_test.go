package mango_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"leap.example/services/bigcouch/mango"
)

func document(t testing.TB, text string, numbers bool) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	if numbers {
		d.UseNumber()
	}
	var doc map[string]any
	if err := d.Decode(&doc); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return doc
}

func selector(t testing.TB, text string) *mango.Selector {
	t.Helper()
	s, err := mango.ParseSelector(json.RawMessage(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

func TestMatch(t *testing.T) {
	const doc = `{"_id": "doc", "_rev": "1-a", "type": "User", "n": 5, "f": 1.5, "nil": null, "ok": true,
		"list": [1, 2, 3], "none": [], "words": ["a", "b"], "o": {"p": {"q": 7}, "empty": {}}, "d.t": 1,
		"people": [{"name": "ann", "age": 30}, {"name": "bob", "age": 40}], "keys": {"alpha": 1, "beta": 2}}`
	tests := []struct {
		selector string
		want     bool
	}{
		{`{}`, true},
		{`{"type": "User"}`, true},
		{`{"type": {"$eq": "User"}}`, true},
		{`{"type": "user"}`, false},
		{`{"type": "User", "n": 6}`, false},
		{`{"n": 5.0}`, true},

		{`{"n": {"$ne": 5}}`, false},
		{`{"n": {"$ne": 6}}`, true},
		{`{"missing": {"$ne": 6}}`, false},
		{`{"missing": null}`, false},
		{`{"nil": null}`, true},
		{`{"nil": {"$exists": true}}`, true},
		{`{"missing": {"$exists": false}}`, true},
		{`{"missing": {"$exists": true}}`, false},
		{`{"o.missing": {"$exists": false}}`, true},
		{`{"missing.deep": {"$exists": false}}`, true},
		{`{"n.deep": {"$exists": false}}`, false},

		{`{"n": {"$gt": 4, "$lt": 6}}`, true},
		{`{"n": {"$gt": 5}}`, false},
		{`{"n": {"$gte": 5}}`, true},
		{`{"n": {"$lte": 5}}`, true},
		{`{"n": {"$lt": 5}}`, false},
		{`{"f": {"$gt": 1.4, "$lt": 1.6}}`, true},
		{`{"type": {"$gt": 1}}`, true},
		{`{"n": {"$gt": null}}`, true},
		{`{"list": {"$gt": "z"}}`, true},
		{`{"o": {"$gt": []}}`, true},
		{`{"_id": {"$gt": "Z"}}`, true},
		{`{"_id": {"$gt": null}}`, true},
		{`{"type": {"$lt": "a"}}`, false},

		{`{"o": {"p": {"q": 7}}}`, true},
		{`{"o.p.q": 7}`, true},
		{`{"o.p": {"q": {"$gt": 6}}}`, true},
		{`{"o": {"p.q": 7}}`, true},
		{`{"o.empty": {}}`, true},
		{`{"o.p": {}}`, false},
		{`{"d\\.t": 1}`, true},
		{`{"d.t": 1}`, false},
		{`{"list.1": 2}`, true},
		{`{"list.3": 2}`, false},
		{`{"people.0.name": "ann"}`, true},

		{`{"n": {"$type": "number"}, "type": {"$type": "string"}, "nil": {"$type": "null"}, "ok": {"$type": "boolean"},
			"list": {"$type": "array"}, "o": {"$type": "object"}}`, true},
		{`{"n": {"$type": "string"}}`, false},
		{`{"missing": {"$type": "null"}}`, false},
		{`{"n": {"$in": [1, 5]}}`, true},
		{`{"n": {"$in": []}}`, false},
		{`{"n": {"$nin": [1, 5]}}`, false},
		{`{"n": {"$nin": [1, 6]}}`, true},
		{`{"missing": {"$nin": [1, 6]}}`, false},
		{`{"list": {"$in": [9, 3]}}`, true},
		{`{"list": {"$nin": [9, 3]}}`, false},
		{`{"list": {"$size": 3}, "none": {"$size": 0}}`, true},
		{`{"n": {"$size": 0}}`, false},
		{`{"n": {"$mod": [3, 2]}}`, true},
		{`{"n": {"$mod": [3, 1]}}`, false},
		{`{"f": {"$mod": [1, 0]}}`, false},
		{`{"type": {"$regex": "^U.*r$"}}`, true},
		{`{"type": {"$regex": "ser"}}`, true},
		{`{"n": {"$regex": "5"}}`, false},
		{`{"type": {"$beginsWith": "Us"}}`, true},
		{`{"type": {"$beginsWith": "us"}}`, false},
		{`{"n": {"$beginsWith": ""}}`, false},

		{`{"list": {"$all": [3, 1]}}`, true},
		{`{"list": {"$all": [3, 4]}}`, false},
		{`{"list": {"$all": [[1, 2, 3]]}}`, true},
		{`{"n": {"$all": [5]}}`, false},
		{`{"list": {"$elemMatch": {"$gt": 2}}}`, true},
		{`{"list": {"$elemMatch": {"$gt": 3}}}`, false},
		{`{"list": {"$elemMatch": {"$gt": 1, "$lt": 3}}}`, true},
		{`{"people": {"$elemMatch": {"name": "bob", "age": {"$gt": 35}}}}`, true},
		{`{"people": {"$elemMatch": {"name": "ann", "age": {"$gt": 35}}}}`, false},
		{`{"people": {"$elemMatch": {"$or": [{"name": "x"}, {"age": 40}]}}}`, true},
		{`{"list": {"$allMatch": {"$lt": 4}}}`, true},
		{`{"list": {"$allMatch": {"$lt": 3}}}`, false},
		{`{"none": {"$allMatch": {"$lt": 3}}}`, false},
		{`{"n": {"$allMatch": {"$lt": 9}}}`, false},
		{`{"keys": {"$keyMapMatch": {"$eq": "beta"}}}`, true},
		{`{"keys": {"$keyMapMatch": {"$eq": "gamma"}}}`, false},
		{`{"list": {"$keyMapMatch": {"$eq": "beta"}}}`, false},

		{`{"$and": [{"n": 5}, {"type": "User"}]}`, true},
		{`{"$and": [{"n": 5}, {"type": "X"}]}`, false},
		{`{"$and": []}`, true},
		{`{"$or": [{"n": 6}, {"type": "User"}]}`, true},
		{`{"$or": [{"n": 6}, {"type": "X"}]}`, false},
		{`{"$or": []}`, false},
		{`{"$nor": [{"n": 6}, {"type": "X"}]}`, true},
		{`{"$nor": [{"n": 5}, {"type": "X"}]}`, false},
		{`{"$not": {"n": 6}}`, true},
		{`{"$not": {"missing": 6}}`, false},
		{`{"n": {"$not": {"$gt": 6}}}`, true},
		{`{"n": {"$not": {"$not": {"$gt": 6}}}}`, false},
		{`{"n": {"$or": [{"$lt": 3}, {"$gt": 4}]}}`, true},
		{`{"n": {"$and": [{"$lt": 3}, {"$gt": 4}]}}`, false},
		{`{"n": {"$or": [5, 6]}}`, true},
		{`{"$not": {"$and": [{"n": 5}, {"type": "X"}]}}`, true},
		{`{"$not": {"$or": [{"n": 5}, {"type": "X"}]}}`, false},
		{`{"$not": {"$nor": [{"n": 5}, {"type": "X"}]}}`, true},
		{`{"$not": {"n": 5, "type": "X"}}`, true},
		{`{"type": {"$not": {"$regex": "^U"}}}`, false},
		{`{"type": {"$not": {"$regex": "^X"}}}`, true},
		{`{"missing": {"$not": {"$regex": "^X"}}}`, false},
		{`{"missing": {"$not": {"$exists": true}}}`, true},
		{`{"list": {"$not": {"$elemMatch": {"$gt": 3}}}}`, true},
		{`{"list": {"$not": {"$elemMatch": {"$not": {"$gt": 3}}}}}`, false},
	}
	for _, numbers := range []bool{true, false} {
		doc := document(t, doc, numbers)
		for _, tt := range tests {
			if got := selector(t, tt.selector).Match(doc); got != tt.want {
				t.Errorf("%s: got %v, want %v (numbers as text: %v)", tt.selector, got, tt.want, numbers)
			}
		}
	}
}

func TestRefusedSelectors(t *testing.T) {
	tests := []struct{ selector, word, reason string }{
		{`1`, "invalid_selector_json", "Selector must be a JSON object, not: 1"},
		{`{"a"`, "bad_request", "invalid UTF-8 JSON"},
		{`{} {}`, "bad_request", "invalid UTF-8 JSON"},
		{`{"a": {"$foo": 1}}`, "invalid_operator", "Invalid operator: $foo"},
		{`{"$foo": 1}`, "invalid_operator", "Invalid operator: $foo"},
		{`{"a": {"$where": "x"}}`, "not_supported", "Unsupported operator: $where"},
		{`{"$text": "x"}`, "not_supported", "Unsupported operator: $text"},
		{`{"$gt": 1}`, "invalid_selector", "One or more conditions is missing a field name."},
		{`{"": 1}`, "invalid_selector", "One or more conditions is missing a field name."},
		{`{"a..b": 1}`, "invalid_field_name", "Invalid field name: a..b"},
		{`{"$and": {}}`, "bad_arg", "Bad argument for operator $and: {}"},
		{`{"$or": [1]}`, "bad_arg", "Bad argument for operator $or: [1]"},
		{`{"$nor": 1}`, "bad_arg", "Bad argument for operator $nor: 1"},
		{`{"$not": 1}`, "bad_arg", "Bad argument for operator $not: 1"},
		{`{"a": {"$in": 1}}`, "bad_arg", "Bad argument for operator $in: 1"},
		{`{"a": {"$nin": {}}}`, "bad_arg", "Bad argument for operator $nin: {}"},
		{`{"a": {"$all": 1}}`, "bad_arg", "Bad argument for operator $all: 1"},
		{`{"a": {"$exists": 1}}`, "bad_arg", "Bad argument for operator $exists: 1"},
		{`{"a": {"$type": 1}}`, "bad_arg", "Bad argument for operator $type: 1"},
		{`{"a": {"$size": -1}}`, "bad_arg", "Bad argument for operator $size: -1"},
		{`{"a": {"$size": 1.5}}`, "bad_arg", "Bad argument for operator $size: 1.5"},
		{`{"a": {"$mod": [1]}}`, "bad_arg", "Bad argument for operator $mod: [1]"},
		{`{"a": {"$mod": [0, 1]}}`, "bad_arg", "Bad argument for operator $mod: [0,1]"},
		{`{"a": {"$mod": [1, 1, 1]}}`, "bad_arg", "Bad argument for operator $mod: [1,1,1]"},
		{`{"a": {"$regex": "("}}`, "bad_arg", `Bad argument for operator $regex: "("`},
		{`{"a": {"$regex": 1}}`, "bad_arg", "Bad argument for operator $regex: 1"},
		{`{"a": {"$beginsWith": 1}}`, "bad_arg", "Bad argument for operator $beginsWith: 1"},
		{`{"a": {"$elemMatch": 1}}`, "bad_arg", "Bad argument for operator $elemMatch: 1"},
		{`{"a": {"$allMatch": []}}`, "bad_arg", "Bad argument for operator $allMatch: []"},
		{`{"a": {"$keyMapMatch": "k"}}`, "bad_arg", `Bad argument for operator $keyMapMatch: "k"`},
		{strings.Repeat(`{"$not":`, 200) + `{}` + strings.Repeat(`}`, 200), "bad_field", "Selector is nested too deeply"},
		{`{"a": {"$regex": "` + strings.Repeat("x", 1025) + `"}}`, "bad_arg", ""},
	}
	for _, tt := range tests {
		_, err := mango.ParseSelector(json.RawMessage(tt.selector))
		e, ok := errors.AsType[*mango.Error](err)
		if !ok || e.Status != 400 || e.Word != tt.word || tt.reason != "" && e.Reason != tt.reason {
			t.Errorf("%.80s: got %v, want %s: %s", tt.selector, err, tt.word, tt.reason)
		}
	}
}

func FuzzParseSelector(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":1}`, `{"a":{"$gt":1,"$lt":5}}`, `{"$or":[{"a":null},{"b.c":{"$exists":false}}]}`,
		`{"a":{"$elemMatch":{"$not":{"$regex":"^x"}}}}`, `{"a":{"$mod":[2,1]},"b":{"$all":[[1]]}}`, `{"a":{"$keyMapMatch":{"$in":["k"]}}}`,
	} {
		f.Add(s, `{"a":[1,2],"b":{"c":"x"}}`)
	}
	f.Fuzz(func(t *testing.T, text, doc string) {
		s, err := mango.ParseSelector(json.RawMessage(text))
		if err != nil {
			if _, ok := errors.AsType[*mango.Error](err); !ok {
				t.Fatalf("%q: %v is no *Error", text, err)
			}
			return
		}
		var d map[string]any
		if json.Unmarshal([]byte(doc), &d) != nil {
			return
		}
		// A missing field matches neither a condition nor its opposite; nothing
		// matches both.
		not, err := mango.ParseSelector(json.RawMessage(`{"$not":` + text + `}`))
		if err == nil && s.Match(d) && not.Match(d) {
			t.Fatalf("%q and its negation both match %q", text, doc)
		}
	})
}
