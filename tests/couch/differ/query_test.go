package differ_test

import (
	"net/http"
	"strings"

	"pgregory.net/rapid"

	"leap.example/tests/couch/differ"
)

// queries are generators of requests about indexes and queries, and of what
// they need.
var queries = map[string]func(t *rapid.T) differ.Request{
	"create": documents["create"],
	"update": documents["update"],
	"bulk":   documents["bulk"],
	"delete": func(t *rapid.T) differ.Request {
		id := id(t)
		return differ.Request{Method: http.MethodDelete, Path: "/" + id + "?rev=<cur " + id + ">"}
	},
	"index": func(t *rapid.T) differ.Request {
		fields := pick(t, "fields", []string{"n"}, []string{"s"}, []string{"s", "n"})
		var name strings.Builder
		name.WriteString("by")
		for _, f := range fields {
			name.WriteString("-" + f)
		}
		return differ.Request{Method: http.MethodPost, Path: "/_index", Body: differ.Object(map[string]any{
			"index": map[string]any{"fields": fields}, "ddoc": name.String(), "name": name.String(), "type": "json",
		})}
	},
	"find": func(t *rapid.T) differ.Request {
		q := map[string]any{"selector": selector(t, true), "limit": 100}
		if f := pick(t, "fields", nil, nil, []string{"_id", "n"}, []string{"_id", "deep.er.n", "s"}); f != nil {
			q["fields"] = f
		}
		return differ.Request{Method: http.MethodPost, Path: "/_find", Body: differ.Object(q)}
	},
	"find sorted": func(t *rapid.T) differ.Request {
		way := pick(t, "way", "asc", "desc")
		q := map[string]any{
			"selector": map[string]any{"s": pick(t, "s", "x", "y", "zz"), "n": map[string]any{"$gte": rapid.IntRange(0, 3).Draw(t, "n")}},
			"sort":     []any{map[string]any{"s": way}, map[string]any{"n": way}}, "fields": []string{"n", "s"},
			"limit": rapid.IntRange(1, 5).Draw(t, "limit"), "skip": rapid.IntRange(0, 1).Draw(t, "skip"),
		}
		return differ.Request{Method: http.MethodPost, Path: "/_find", Body: differ.Object(q)}
	},
}

// selector is one that all implementations read in the same way: what may
// differ (section 12) is not in it, or is paired with $exists.
func selector(t *rapid.T, compound bool) map[string]any {
	if compound {
		switch pick(t, "compound", "", "", "", "$and", "$or", "$nor", "$not") {
		case "$and":
			return map[string]any{"$and": []any{selector(t, false), map[string]any{"own": pick(t, "own", allIDs...)}}}
		case "$or":
			return map[string]any{"$or": []any{selector(t, false), selector(t, false)}}
		case "$nor": // Only of a member that is always there.
			return map[string]any{"$nor": []any{map[string]any{"_id": id(t)}, map[string]any{"_id": id(t)}}}
		case "$not":
			return map[string]any{"$not": map[string]any{"_id": map[string]any{"$in": []any{id(t), id(t)}}}}
		}
	}
	field := pick(t, "field", "n", "s", "deep.er.n", "list", "_id", "text")
	var value any = rapid.IntRange(0, 6).Draw(t, "value")
	switch field {
	case "s":
		value = pick(t, "value", "x", "y", "zz")
	case "_id":
		value = id(t)
	case "list":
		return map[string]any{"list": pick[any](t, "list",
			map[string]any{"$size": 4}, map[string]any{"$all": []any{1, "two"}}, map[string]any{"$elemMatch": map[string]any{"$eq": 0.5}},
			map[string]any{"$type": "array"}, map[string]any{"$exists": false})}
	case "text":
		return map[string]any{"text": pick[any](t, "text", map[string]any{"$regex": "^<"}, map[string]any{"$exists": true}, map[string]any{"$type": "string"})}
	}
	op := pick(t, "operator", "$eq", "$gt", "$gte", "$in", "implicit", "$lt", "$lte", "$nin", "$exists", "$ne", "$mod")
	if field == "_id" {
		op = pick(t, "operator of ids", "$eq", "$gt", "$gte", "$in", "implicit")
	}
	condition := map[string]any{op: value}
	switch op {
	case "$in":
		condition = map[string]any{"$in": []any{value, "x"}}
	case "$nin":
		condition = map[string]any{"$nin": []any{value}, "$exists": true}
	case "$ne", "$lt", "$lte":
		condition["$exists"] = true
	case "$exists":
		condition = map[string]any{"$exists": pick(t, "exists", true, false)}
	case "$mod":
		return map[string]any{"n": map[string]any{"$mod": []any{2, 1}}}
	case "implicit":
		return map[string]any{field: value}
	}
	return map[string]any{field: condition}
}
