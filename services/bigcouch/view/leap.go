package view

import (
	"encoding/hex"
	"slices"
	"strings"
	"sync"
)

// The maps of LEAP's design documents. Most were generated, one condition for
// each field that is a part of the key; the others are known by the hash of
// their text.

// natives returns them by their text.
var natives = sync.OnceValue(func() map[fingerprint]native {
	m := map[fingerprint]native{}
	for class, views := range generated {
		m[fingerprintOf(allText(class))] = all(class)
		for v := range strings.FieldsSeq(views) {
			fields := strings.Split(v, ",")
			m[fingerprintOf(fieldsText(class, fields, ""))] = byFields(class, fields, "")
		}
	}
	m[fingerprintOf(fieldsText("User", []string{"created_at"}, warned))] = byFields("User", []string{"created_at"}, warned)
	for _, w := range written {
		for _, sum := range w.sums {
			var f fingerprint
			if n, err := hex.Decode(f[:], []byte(sum)); n == len(f) && err == nil {
				m[f] = w.run
			}
		}
	}
	return m
})

// generated are the fields of the keys of the generated maps.
var generated = map[string]string{
	"User":       "login created_at",
	"Identity":   "address user_id address,destination",
	"Token":      "last_seen_at",
	"InviteCode": "_id invite_code invite_count created_at updated_at",
	"Customer":   "user_id braintree_customer_id",
	"Message":    "",
	"Ticket":     "created_at updated_at created_by is_open,created_at is_open,updated_at",
}

// warned is the field that must not be there for a user to be warned.
const warned = "one_month_warning_sent"

func allText(class string) string {
	return "function(doc) {\nif (doc['type'] == '" + class + "') {\nemit(doc._id, null);\n}\n}"
}

func fieldsText(class string, fields []string, not string) string {
	conditions := []string{"(doc['type'] == '" + class + "')"}
	var keys []string
	for _, f := range fields {
		conditions = append(conditions, "(doc['"+f+"'] != null)")
		keys = append(keys, "doc['"+f+"']")
	}
	if not != "" {
		conditions = append(conditions, "(doc['"+not+"'] == null)")
	}
	key := strings.Join(keys, ", ")
	if len(keys) > 1 {
		key = "[" + key + "]"
	}
	head := "function(doc) {\n"
	if not != "" {
		head = "function (doc) {\n"
	}
	return head + "if (" + strings.Join(conditions, " && ") + ") {\nemit(" + key + ", 1);\n}\n}"
}

// is is JavaScript's ==, with a word that is no number.
func is(v any, word string) bool {
	switch v.(type) {
	case string, []any:
		t, ok := text(v)
		return ok && t == word
	}
	return false
}

// null reports whether v is null or not there.
func null(v any) bool {
	switch v.(type) {
	case nil, absent:
		return true
	}
	return false
}

func all(class string) native {
	return func(doc *object, emit func(key, value any)) bool {
		if is(doc.get("type"), class) {
			emit(doc.get("_id"), nil)
		}
		return true
	}
}

func byFields(class string, fields []string, not string) native {
	return func(doc *object, emit func(key, value any)) bool {
		if !is(doc.get("type"), class) || not != "" && !null(doc.get(not)) {
			return true
		}
		var key []any
		for _, f := range fields {
			v := doc.get(f)
			if null(v) {
				return true
			}
			key = append(key, v)
		}
		if len(key) == 1 {
			emit(key[0], 1.0)
		} else {
			emit(key, 1.0)
		}
		return true
	}
}

// disabled: identities of nobody.
func disabled(doc *object, emit func(key, value any)) bool {
	if is(doc.get("type"), "Identity") && doc.get("user_id") == (absent{}) {
		emit(doc.get("_id"), 1.0)
	}
	return true
}

// fingerprints emits fingerprint and date of each certificate.
func fingerprints(emitPair func(emit func(key, value any), print string, date any)) native {
	return func(doc *object, emit func(key, value any)) bool {
		if !is(doc.get("type"), "Identity") {
			return true
		}
		switch certs := doc.get("cert_fingerprints").(type) {
		case []any:
			for i, date := range certs {
				emitPair(emit, string(appendNumber(nil, float64(i))), date)
			}
		case *object:
			if _, shadowed := certs.values["hasOwnProperty"]; shadowed {
				return false
			}
			for _, print := range certs.names {
				emitPair(emit, print, certs.values[print])
			}
		}
		return true
	}
}

// keys emits the address and what pick makes of the keys.
func keys(pick func(keys any) (any, bool)) native {
	return func(doc *object, emit func(key, value any)) bool {
		if !is(doc.get("type"), "Identity") {
			return true
		}
		switch doc.get("keys").(type) {
		case nil, []any, *object:
			v, ok := pick(doc.get("keys"))
			if ok {
				emit(doc.get("address"), v)
			}
			return ok
		}
		return true
	}
}

func expires(doc *object, emit func(key, value any)) bool {
	if v := doc.get("expires"); v != (absent{}) {
		emit(v, 1.0)
	}
	return true
}

// shown emits a row for each user that a message is for.
func shown(rest ...string) native {
	return func(doc *object, emit func(key, value any)) bool {
		users, ok := doc.get("user_ids_to_show").([]any)
		if !ok || doc.get("type") != any("Message") {
			return true
		}
		for _, user := range users {
			emit(with(doc, user, rest), 1.0)
		}
		return true
	}
}

// with returns a value by itself, or in a list before fields of a document.
func with(doc *object, v any, rest []string) any {
	if len(rest) == 0 {
		return v
	}
	list := []any{v}
	for _, f := range rest {
		list = append(list, doc.get(f))
	}
	return list
}

// inherited are the members that JavaScript's {} has already.
var inherited = []string{
	"constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString", "valueOf",
	"__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__",
}

// posters emits a row for each distinct author of a ticket's comments.
func posters(rest ...string) native {
	return func(doc *object, emit func(key, value any)) bool {
		if !is(doc.get("type"), "Ticket") || !truthy(doc.get("comments")) {
			return true
		}
		comments, ok := doc.get("comments").([]any)
		if !ok {
			return false
		}
		seen := map[string]bool{}
		for _, c := range comments {
			if c == nil {
				return false
			}
			comment, ok := c.(*object)
			if !ok || !truthy(comment.get("posted_by")) {
				continue
			}
			by, ok := text(comment.get("posted_by"))
			if !ok {
				return false
			}
			if seen[by] || slices.Contains(inherited, by) {
				continue
			}
			seen[by] = true
			emit(with(doc, comment.get("posted_by"), rest), 1.0)
		}
		return true
	}
}
