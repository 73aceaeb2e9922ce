package view

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// spelled are the handmade maps as this test writes them.
var spelled = map[string]string{
	"Identity/disabled": `function(doc) { if (doc.type == "Identity" && doc.user_id === undefined) emit(doc._id, 1) }`,
	"Identity/cert_expiry_by_fingerprint": `function(doc) {
		if (doc.type == "Identity" && typeof doc.cert_fingerprints == "object")
			for (var f in doc.cert_fingerprints) if (doc.cert_fingerprints.hasOwnProperty(f)) emit(f, doc.cert_fingerprints[f]) }`,
	"Identity/cert_fingerprints_by_expiry": `function(doc) {
		if (doc.type == "Identity" && typeof doc.cert_fingerprints == "object")
			for (var f in doc.cert_fingerprints) if (doc.cert_fingerprints.hasOwnProperty(f)) emit(doc.cert_fingerprints[f], f) }`,
	"Identity/keys_by_email":    `function(doc) { if (doc.type == "Identity" && typeof doc.keys == "object") emit(doc.address, doc.keys) }`,
	"Identity/pgp_key_by_email": `function(doc) { if (doc.type == "Identity" && typeof doc.keys == "object") emit(doc.address, doc.keys.pgp) }`,
	"Session/by_expires":        `function(doc) { if (doc.expires !== undefined) emit(doc.expires, 1) }`,
	"Message/by_user_ids_to_show": `function(doc) {
		if (doc.type === "Message" && isArray(doc.user_ids_to_show)) doc.user_ids_to_show.forEach(function(id) { emit(id, 1) }) }`,
	"Message/by_user_ids_to_show_and_created_at": `function(doc) {
		if (doc.type === "Message" && isArray(doc.user_ids_to_show)) doc.user_ids_to_show.forEach(function(id) { emit([id, doc.created_at], 1) }) }`,
	"Ticket/by_includes_post_by":                            postersText(`c.posted_by`),
	"Ticket/by_includes_post_by_and_created_at":             postersText(`[c.posted_by, doc.created_at]`),
	"Ticket/by_includes_post_by_and_updated_at":             postersText(`[c.posted_by, doc.updated_at]`),
	"Ticket/by_includes_post_by_and_is_open_and_created_at": postersText(`[c.posted_by, doc.is_open, doc.created_at]`),
	"Ticket/by_includes_post_by_and_is_open_and_updated_at": postersText(`[c.posted_by, doc.is_open, doc.updated_at]`),
}

func postersText(key string) string {
	return `function(doc) {
		var seen = {};
		if (doc.type == "Ticket" && doc.comments)
			doc.comments.forEach(function(c) { if (c.posted_by && !seen[c.posted_by]) { seen[c.posted_by] = true; emit(` + key + `, 1) } }) }`
}

// nativeMaps returns every native map with JavaScript that does the same.
func nativeMaps(t *testing.T) map[string][2]*Map {
	all := map[string][2]*Map{}
	add := func(name, source string, run native) {
		m, err := CompileMap(source)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = [2]*Map{{program: m.program, native: run}, {program: m.program}}
	}
	known := func(name, source string) {
		m, err := CompileMap("\t  " + strings.ReplaceAll(source, "\n", "\r\n     "))
		if err != nil || !m.Native() {
			t.Fatalf("%s is not known: %v", name, err)
		}
		add(name, source, m.native)
	}
	for class, views := range generated {
		known(class+"/all", allText(class))
		for fields := range strings.FieldsSeq(views) {
			known(class+"/"+fields, fieldsText(class, strings.Split(fields, ","), ""))
		}
	}
	known("User/warned", fieldsText("User", []string{"created_at"}, warned))
	for _, w := range written {
		if spelled[w.name] == "" {
			t.Fatalf("%s is not spelled out", w.name)
		}
		add(w.name, spelled[w.name], w.run)
	}
	return all
}

// anyValue draws a JSON value, now and then a strange one.
func anyValue(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		kinds := []string{"null", "true", "false", "0", "-0", "1", "12345678901234567890", "1e2", "1.50", "-1e-7", "1e999", `""`, `"a"`, `"b\u00e9\n\u2028"`, `"toString"`, `"__proto__"`, `"2026-01-01"`, "[]", "{}"}
		n := rapid.IntRange(0, len(kinds)+3).Draw(t, "kind")
		switch {
		case n < len(kinds):
			return kinds[n]
		case depth == 0:
			return `"deep"`
		case n%2 == 0:
			return "[" + strings.Join(rapid.SliceOfN(anyValue(depth-1), 0, 3).Draw(t, "list"), ",") + "]"
		}
		return anyObject(depth-1).Draw(t, "object")
	})
}

func anyObject(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var members []string
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"pgp", "10", "9", "01", "z", "posted_by", "toString", "hasOwnProperty", "length", "forEach", "toJSON", "4294967295", "valueOf"}), 0, 4, func(s string) string { return s }).Draw(t, "names") {
			members = append(members, fmt.Sprintf("%q:%s", name, anyValue(depth).Draw(t, name)))
		}
		return "{" + strings.Join(members, ",") + "}"
	})
}

// anyDocument draws a document that has what LEAP's have, mostly of the right
// type.
var anyDocument = rapid.Custom(func(t *rapid.T) string {
	classes := []string{"User", "Identity", "Token", "InviteCode", "Customer", "Message", "Ticket"}
	members := []string{`"_id":"id"`, `"_rev":"1-x"`}
	class := rapid.SampledFrom(classes).Draw(t, "class")
	switch rapid.IntRange(0, 9).Draw(t, "form of the class") {
	case 0:
		members = append(members, `"type":["`+class+`"]`)
	case 1:
		members = append(members, `"type":[["`+class+`"],null]`)
	case 2:
		members = append(members, `"type":`+anyValue(2).Draw(t, "type"))
	default:
		members = append(members, `"type":"`+class+`"`)
	}
	fields := strings.FieldsSeq("login created_at updated_at address user_id destination last_seen_at invite_code invite_count braintree_customer_id created_by is_open " + warned + " expires keys cert_fingerprints user_ids_to_show comments")
	for f := range fields {
		switch rapid.IntRange(0, 3).Draw(t, f) {
		case 0:
			members = append(members, fmt.Sprintf("%q:%s", f, anyValue(2).Draw(t, f)))
		case 1:
			switch f {
			case "user_ids_to_show":
				list := rapid.SliceOfN(anyValue(1), 0, 5).Draw(t, "users")
				members = append(members, `"user_ids_to_show":[`+strings.Join(list, ",")+`]`)
			case "comments":
				list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
					return `{"posted_by":` + anyValue(1).Draw(t, "by") + `}`
				}), 0, 5).Draw(t, "comments")
				members = append(members, `"comments":[`+strings.Join(list, ",")+`]`)
			default:
				members = append(members, fmt.Sprintf("%q:%s", f, anyObject(2).Draw(t, f)))
			}
		}
	}
	slices.Sort(members[2:])
	return "{" + strings.Join(members, ",") + "}"
})

// LEAP's maps give the same rows in Go and in JavaScript.
func TestNative(t *testing.T) {
	all := nativeMaps(t)
	e := NewEngine(Limits{})
	s, err := e.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, m := range all {
		class, _, _ := strings.Cut(name, "/")
		doc := `{"_id":"i","type":"` + class + `","login":"l","created_at":1,"updated_at":2,"address":"a","destination":"d","last_seen_at":3,
			"invite_code":"c","invite_count":0,"braintree_customer_id":"b","created_by":"u","is_open":false,"expires":4,"keys":{"pgp":"k"},
			"cert_fingerprints":{"f":"x"},"user_ids_to_show":["u"],"comments":[{"posted_by":"u"}],"user_id":"u"}`
		if name == "Identity/disabled" {
			doc = `{"_id":"i","type":"Identity"}`
		}
		for i, form := range m {
			if rows, err := form.Rows(t.Context(), s, []byte(doc)); err != nil || len(rows) != 1 {
				t.Errorf("%s, form %d: rows %s, %v", name, i, rows, err)
			}
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		doc := anyDocument.Draw(rt, "document")
		if !json.Valid([]byte(doc)) {
			rt.Fatalf("malformed: %s", doc)
		}
		for name, m := range all {
			inGo, err := m[0].Rows(t.Context(), s, []byte(doc))
			if err != nil {
				rt.Fatalf("%s in Go: %v", name, err)
			}
			script, err := m[1].Rows(t.Context(), s, []byte(doc))
			if err != nil {
				rt.Fatalf("%s in JavaScript: %v", name, err)
			}
			if fmt.Sprintf("%s", inGo) != fmt.Sprintf("%s", script) {
				rt.Fatalf("%s of %s\n  Go         %s\n  JavaScript %s", name, doc, inGo, script)
			}
		}
	})
}
