package schema_test

import (
	"encoding"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// object is a JSON object; encoding/json sorts its members.
type object = map[string]any

// A maker makes the schema of one kind of file.
type maker struct {
	t *testing.T
	// layered is for files that are put on top of each other: a list may be one
	// value, a value null, a name may begin with +, - or !.
	layered bool
	defs    object
	seen    map[reflect.Type]string
	texts   map[string]map[string]string // By package and type: comments by member.
}

func (m *maker) file(title string, of reflect.Type) object {
	m.defs, m.seen, m.texts = object{}, map[reflect.Type]string{}, map[string]map[string]string{}
	s := object{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
	s["$ref"] = m.of(of)["$ref"]
	s["$defs"] = m.defs
	return s
}

var (
	jsonReader = reflect.TypeFor[json.Unmarshaler]()
	textReader = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// of is the schema of a type.
func (m *maker) of(t reflect.Type) object {
	pointer := reflect.PointerTo(t)
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		return object{}
	case pointer.Implements(jsonReader), pointer.Implements(textReader):
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return m.of(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": m.value(t.Elem())}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string"}
		}
		list := object{"type": "array", "items": m.of(t.Elem())}
		if m.layered {
			return object{"anyOf": []any{list, m.of(t.Elem())}}
		}
		return list
	case reflect.Struct:
		return object{"$ref": "#/$defs/" + m.define(t)}
	}
	m.t.Fatalf("%v cannot be read from JSON", t)
	return nil
}

// value is the schema of a member.
func (m *maker) value(t reflect.Type) object {
	s := m.of(t)
	if m.layered {
		return object{"anyOf": []any{s, object{"enum": []any{nil, "REQUIRED"}}}}
	}
	return s
}

// define has a struct among the definitions, and returns its name there.
func (m *maker) define(t reflect.Type) string {
	if name, ok := m.seen[t]; ok {
		return name
	}
	name := filepath.Base(t.PkgPath()) + "." + t.Name()
	m.seen[t] = name
	texts := m.comments(t)
	members, names := object{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "" || tag == "-" {
			continue
		}
		s := m.value(f.Type)
		if text := texts[f.Name]; text != "" {
			s["description"] = text
		}
		members[tag] = s
		names = append(names, regexp.QuoteMeta(tag))
	}
	s := object{"type": "object", "properties": members, "additionalProperties": false}
	if m.layered {
		slices.Sort(names)
		s["patternProperties"] = object{"^[-+!](" + strings.Join(names, "|") + ")$": object{}}
	}
	m.defs[name] = s
	return name
}

// comments are those on the members of a struct, by the members' Go names.
func (m *maker) comments(t reflect.Type) map[string]string {
	key := t.PkgPath() + "." + t.Name()
	if _, ok := m.texts[key]; !ok {
		dir, inside := strings.CutPrefix(t.PkgPath(), "leap.example/")
		if !inside {
			m.t.Fatalf("%v is not of this module", t)
		}
		sources, err := filepath.Glob(filepath.Join("..", "..", dir, "*.go"))
		if err != nil {
			m.t.Fatal(err)
		}
		for _, path := range sources {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil {
				m.t.Fatal(err)
			}
			m.read(t.PkgPath(), f)
		}
	}
	return m.texts[key]
}

// read reads the comments of one file.
func (m *maker) read(pkg string, f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		s, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		texts := map[string]string{}
		for _, field := range s.Fields.List {
			text := strings.Join(strings.Fields(field.Doc.Text()+" "+field.Comment.Text()), " ")
			for _, name := range field.Names {
				texts[name.Name] = text
			}
		}
		m.texts[pkg+"."+spec.Name.Name] = texts
		return true
	})
}
