package schema_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tailscale/hujson"

	"leap.example/appliance/node"
	"leap.example/image/provider"
	"leap.example/image/schema"
)

var update = flag.Bool("update", false, "write the schemas")

// TestPresent holds that the schemas are those of the present types and comments.
func TestPresent(t *testing.T) {
	for _, of := range []struct {
		name, title string
		layered     bool
		kind        reflect.Type
	}{
		{"document", "What a node shall be", false, reflect.TypeFor[node.Document]()},
		{"node", "What nodes have: nodes/, tags/, services/ and common.json", true, reflect.TypeFor[provider.Properties]()},
		{"provider", "Who the provider is: provider.json", true, reflect.TypeFor[provider.Provider]()},
		{"user", "An operator: users/", false, reflect.TypeFor[provider.User]()},
	} {
		m := &maker{t: t, layered: of.layered}
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		check(t, e.Encode(m.file(of.title, of.kind)))
		if *update {
			check(t, os.WriteFile(of.name+".json", text.Bytes(), 0o644))
			continue
		}
		have, err := schema.Text(of.name)
		check(t, err)
		if !bytes.Equal(have, text.Bytes()) {
			t.Errorf("%s.json is not what the types say: go generate ./image/schema", of.name)
		}
	}
	if _, err := schema.Text("../schema"); err == nil || !strings.Contains(err.Error(), "there are document, node, provider, user") {
		t.Errorf("got %v", err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// load reads a schema.
func load(t *testing.T, name string) object {
	t.Helper()
	text, err := schema.Text(name)
	check(t, err)
	var s object
	check(t, json.Unmarshal(text, &s))
	return s
}

// TestFiles has the schemas judge files that are good.
func TestFiles(t *testing.T) {
	const compiled = "../compile/testdata/"
	made := filepath.Join(t.TempDir(), "made")
	check(t, provider.New(made, provider.Answers{Domain: "demo.example", Name: "Demo", Contact: "alice@demo.example", Enrollment: "open", Operator: "alice"}, made+".json", time.Now()))
	for name, patterns := range map[string][]string{
		"document": {compiled + "golden/*.json"},
		"node":     {compiled + "demo/nodes/*.json", compiled + "demo/common*.json", compiled + "demo/services/*.json", compiled + "demo/tags/*.json"},
		"provider": {compiled + "demo/provider*.json", made + "/provider.json"},
		"user":     {made + "/users/*.json"},
	} {
		s, judged := load(t, name), 0
		for _, pattern := range patterns {
			paths, err := filepath.Glob(pattern)
			check(t, err)
			for _, path := range paths {
				if err := judge(s, s, read(t, path), ""); err != nil {
					t.Errorf("%s: %v", path, err)
				}
				judged++
			}
		}
		if judged == 0 {
			t.Errorf("there are no files for %s", name)
		}
	}
}

func read(t *testing.T, path string) (v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	check(t, err)
	text, err = hujson.Standardize(text)
	check(t, err)
	check(t, json.Unmarshal(text, &v))
	return v
}

// TestAgree puts wrong values at every place of a document, and expects schema
// and types to refuse the same, but for texts, of which the types know more.
func TestAgree(t *testing.T) {
	s := load(t, "document")
	good := read(t, "../compile/testdata/golden/mail1.json")
	tried, seen := 0, map[string]bool{}
	each(good, func(what string, put func(any) (back func())) {
		kind := like.ReplaceAllString(what, "$1$2/*")
		if seen[kind] {
			return
		}
		seen[kind] = true
		for _, wrong := range []any{true, -7, 7, 7.5, "x", []any{}, []any{true}, object{}, object{"colour": "red"}} {
			back := put(wrong)
			text, err := json.Marshal(good)
			check(t, err)
			_, types := node.Decode("", text, new(node.Document))
			if judged := judge(s, s, decoded(t, text), ""); (judged == nil) != (types == nil) && (judged != nil || !texts(wrong)) {
				t.Errorf("%v at %s: types say %v, the schema says %v", wrong, what, types, judged)
			}
			tried++
			back()
		}
	})
	if tried < 300 {
		t.Errorf("only %d tries", tried)
	}
}

// like finds names that anybody chooses, and numbers: one of them is as good as
// another.
var like = regexp.MustCompile(`(/services|/files|/secrets|/hosts|/\w+)/(?:\d+|[^/]*[^/a-z_][^/]*)|(/services|/files|/secrets|/hosts)/[^/]+`)

// texts reports whether the schema knows less about a value: what a text says,
// and that a large or negative number does not fit.
func texts(v any) bool { _, ok := v.(string); return ok || v == -7 }

func decoded(t *testing.T, text []byte) (v any) {
	t.Helper()
	check(t, json.Unmarshal(text, &v))
	return v
}

// each calls f for each place in v but what is below a service's sections, whose
// meaning is the service's.
func each(v any, f func(what string, put func(any) (back func()))) {
	var visit func(what string, v any)
	visit = func(what string, v any) {
		switch v := v.(type) {
		case object:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				inner, old := what+"/"+name, v[name]
				f(inner, func(wrong any) func() { v[name] = wrong; return func() { v[name] = old } })
				if name != "sections" {
					visit(inner, old)
				}
			}
		case []any:
			for k, old := range v {
				inner := fmt.Sprintf("%s/%d", what, k)
				f(inner, func(wrong any) func() { v[k] = wrong; return func() { v[k] = old } })
				visit(inner, old)
			}
		}
	}
	visit("", v)
}

// judge is as much of JSON Schema as these schemas use.
func judge(root, s object, v any, at string) error {
	if ref, ok := s["$ref"].(string); ok {
		return judge(root, root["$defs"].(object)[strings.TrimPrefix(ref, "#/$defs/")].(object), v, at)
	}
	if any, ok := s["anyOf"].([]any); ok {
		var err error
		for _, one := range any {
			if err = judge(root, one.(object), v, at); err == nil {
				return nil
			}
		}
		return err
	}
	if list, ok := s["enum"].([]any); ok && !slices.Contains(list, v) {
		return fmt.Errorf("%s: %v is not one of %v", at, v, list)
	}
	if kind, ok := s["type"].(string); ok && !is(kind, v) {
		return fmt.Errorf("%s: %v is no %s", at, v, kind)
	}
	if least, ok := s["minimum"].(float64); ok && v.(float64) < least {
		return fmt.Errorf("%s: %v is too little", at, v)
	}
	switch v := v.(type) {
	case []any:
		for k, e := range v {
			if err := judge(root, s["items"].(object), e, fmt.Sprintf("%s/%d", at, k)); err != nil {
				return err
			}
		}
	case object:
		return judgeObject(root, s, v, at)
	}
	return nil
}

func judgeObject(root, s object, v object, at string) error {
	members, _ := s["properties"].(object)
	patterns, _ := s["patternProperties"].(object)
	for _, name := range slices.Sorted(maps.Keys(v)) {
		of, ok := members[name].(object)
		for pattern, p := range patterns {
			if !ok && regexp.MustCompile(pattern).MatchString(name) {
				of, ok = p.(object), true
			}
		}
		if more, yes := s["additionalProperties"].(object); !ok && yes {
			of, ok = more, true
		}
		if !ok && s["additionalProperties"] == false {
			return fmt.Errorf("%s/%s: there is no such member", at, name)
		}
		if !ok {
			continue // Nothing is known of it.
		}
		if err := judge(root, of, v[name], at+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

func is(kind string, v any) bool {
	switch v := v.(type) {
	case bool:
		return kind == "boolean"
	case string:
		return kind == "string"
	case float64:
		return kind == "number" || kind == "integer" && v == float64(int64(v))
	case []any:
		return kind == "array"
	case object:
		return kind == "object"
	}
	return false
}
