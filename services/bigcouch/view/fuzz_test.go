package view

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// No text breaks the compiler, indentation does not change which function a
// text is taken for, and whatever it is taken for was allowed to be compiled.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		allText("User"), fieldsText("Ticket", []string{"a", "b"}, "c"), "doc => emit(doc)", "function(doc) { /* ( */ emit(/[/]/, `$(1)`) }",
		"function(doc) {\n// x\nreturn\n1 }", "function(doc){class A{static{}}}", "function(doc){a?.b??c}", "function({a,b:[c]}){}", "\ufefffunction(){}", "function(doc){'\\u{110000}'}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		m, err := CompileMap(source)
		_, second := CompileMap(source)
		if (err == nil) != (second == nil) {
			t.Fatalf("compiles once only: %v, %v", err, second)
		}
		if _, err := CompileReduce(source); err == nil && !strings.HasPrefix(strings.TrimSpace(source), "_") && m == nil {
			t.Error("compiles as a reduce but not as a map")
		}
		var moved strings.Builder
		for line := range strings.Lines(source) {
			moved.WriteString(" \t" + strings.TrimSuffix(line, "\n") + "  \n\n")
		}
		if fingerprintOf(source) != fingerprintOf(moved.String()) {
			t.Error("indentation changes the fingerprint")
		}
	})
}

// What JavaScript and Go read of a document is the same JSON.
func FuzzDocument(f *testing.F) {
	for _, s := range []string{`{"b":1,"a":[null,true,1e2,-0,"\u2028\n"],"10":{},"9":0,"__proto__":1}`, `{"a":1,"a":2}`, `{"x":"` + "\u00e9\U0001F600" + `"}`, `[]`} {
		f.Add([]byte(s))
	}
	e := NewEngine(Limits{})
	s, err := e.Open(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	m, err := CompileMap(`function(doc) { emit(doc, null) }`)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := parseObject(data)
		if err != nil || !json.Valid(data) || depthOf(data) > maxDepth || len(data) > maxKey/8 || strings.Contains(string(data), `\`) || !utf8.Valid(data) {
			return // Escapes: lone halves of a pair are refused before documents come here.
		}
		rows, err := m.Rows(t.Context(), s, data)
		if err != nil {
			t.Fatal(err)
		}
		if want := string(appendValue(nil, o)); len(rows) != 1 || string(rows[0].Key) != want {
			t.Errorf("%s\n  Go         %s\n  JavaScript %s", data, want, rows)
		}
	})
}
