package view_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/services/bigcouch/view"
)

func TestMain(m *testing.M) {
	clock := goleak.IgnoreAnyFunction("github.com/dlclark/regexp2/v2.runClock") // Ends by itself a second after the last match.
	status := m.Run()
	// What was given up in the middle of a match ends with the match.
	var left error
	for deadline := time.Now().Add(30 * time.Second); status == 0 && time.Now().Before(deadline); {
		if left = goleak.Find(clock); left == nil {
			break
		}
	}
	if left != nil {
		fmt.Fprintln(os.Stderr, left)
		status = 1
	}
	os.Exit(status)
}

// rows runs a map over a document in a session of its own.
func rows(t *testing.T, e *view.Engine, source, doc string) ([]view.Row, error) {
	t.Helper()
	m, err := view.CompileMap(source)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	s, err := e.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return m.Rows(t.Context(), s, []byte(doc))
}

// show writes rows one behind the other.
func show(rows []view.Row) string {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(string(r.Key) + " " + string(r.Value) + "\n")
	}
	return b.String()
}

// What would run for ever or take all memory ends, and the engine goes on.
func TestBounds(t *testing.T) {
	limits := view.Limits{Time: 300 * time.Millisecond, Heap: 48 << 20, Output: 1 << 20, Rows: 1000, Parallel: 2}
	hasty := view.NewEngine(limits)
	limits.Time, limits.Heap = 0, 32<<20
	patient := view.NewEngine(limits)
	for _, test := range []struct {
		name, source string
		want         error // Nil: an ordinary exception, that is no rows.
	}{
		{"loop", `function(doc) { while (true) {} }`, view.ErrTime},
		{"loop that catches", `function(doc) { for (;;) { try { while (true) {} } catch (e) {} finally { continue } } }`, view.ErrTime},
		{"loop in a callback", `function(doc) { [1].forEach(function() { for (;;) {} }) }`, view.ErrTime},
		{"loop in toJSON", `function(doc) { emit({toJSON: function() { for (;;) {} }}, 1) }`, view.ErrTime},
		{"endless emit", `function(doc) { for (;;) emit(1, 1) }`, view.ErrOutput},
		{"large emit", `function(doc) { var s = "x".repeat(600000); emit(s.slice(0, 100), s); emit(1, s) }`, view.ErrOutput},
		{"list of itself", `function(doc) { var a = []; for (;;) a.push([a.length]) }`, view.ErrHeap},
		{"doubled string", `function(doc) { var s = "xx"; for (;;) s += s }`, view.ErrHeap},
		{"objects", `function(doc) { var o = {}; for (var i = 0; ; i++) o["k" + i] = {i: i} }`, view.ErrHeap},
		{"recursion", `function(doc) { (function f() { f() })() }`, nil},
		{"recursion through a built-in", `function(doc) { (function f() { [1].forEach(f) })() }`, nil},
		{"repeat", `function(doc) { emit("x".repeat(1e9), 1) }`, nil},
		{"pad", `function(doc) { emit("x".padStart(1e9), 1) }`, nil},
		{"join", `function(doc) { var s = "x".repeat(1e6), a = []; for (var i = 0; i < 1e4; i++) a.push(s); emit(a.join("").length) }`, nil},
		{"array to string", `function(doc) { var s = "x".repeat(1e6), a = []; for (var i = 0; i < 1e4; i++) a.push(s); emit(("" + a).length) }`, nil},
		{"nested array to string", `function(doc) { var a = []; for (var i = 0; i < 20000; i++) a = [a]; emit("" + a) }`, nil},
		{"nested array to JSON", `function(doc) { var a = []; for (var i = 0; i < 20000; i++) a = [a]; emit(a) }`, nil},
		{"cyclic", `function(doc) { doc.doc = doc; emit(doc) }`, nil},
		{"stringify", `function(doc) { var a = "x".repeat(1000); for (var i = 0; i < 40; i++) a = [a, a]; emit(JSON.stringify(a).length) }`, nil},
		{"parse", `function(doc) { emit(JSON.parse("[".repeat(1e6))) }`, nil},
		{"replace", `function(doc) { var s = "a".repeat(1e6); emit(s.replace(/a/g, s).length) }`, nil},
		{"replace around", `function(doc) { var s = "a".repeat(1e5); emit(s.replace(/a/g, "$'").length) }`, nil},
		{"long array", `function(doc) { var a = []; a.length = 4e9; emit(a.indexOf(1)) }`, nil},
		{"long array, concat", `function(doc) { var a = []; a.length = 4e9; emit([].concat(a).length) }`, nil},
		{"long array, apply", `function(doc) { emit(Math.max.apply(null, {length: 4e9})) }`, nil},
		{"long array, from", `function(doc) { emit(Array.from({length: 4e9}).length) }`, nil},
		{"long array, fill", `function(doc) { emit(new Array(4e9).fill(1).length) }`, nil},
		{"regular expression", `function(doc) { emit(/^(?:(a+)+)\1c$/.test("a".repeat(40) + "cx"), 1) }`, view.ErrTime},
		{"long regular expression", `function(doc) { emit(new RegExp("(".repeat(1e5)).test("a")) }`, nil},
		{"long regular expression by match", `function(doc) { emit("a".match("(".repeat(1e5))) }`, nil},
		{"eval", `function(doc) { emit(eval("1 + 1")) }`, nil},
		{"Function", `function(doc) { emit(Function("return 1")()) }`, nil},
		{"constructor of a function", `function(doc) { emit((function() {}).constructor("return 1")()) }`, nil},
		{"constructor of a method", `function(doc) { emit([].map.constructor("return 1")()) }`, nil},
		{"typed array", `function(doc) { emit(new Uint8Array(1e9).length) }`, nil},
		{"throws", `function(doc) { emit(1, 1); throw {error: "no"} }`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := patient
			if errors.Is(test.want, view.ErrTime) {
				e = hasty
			}
			got, err := rows(t, e, test.source, `{"_id":"a"}`)
			if !errors.Is(err, test.want) || len(got) > 0 && err == nil {
				t.Errorf("%s: got %d rows, error %v, want error %v", test.source, len(got), err, test.want)
			}
			if got, err := rows(t, e, `function(doc) { emit(doc._id, [1]) }`, `{"_id":"a"}`); err != nil || show(got) != "\"a\" [1]\n" {
				t.Fatalf("afterwards: %s, %v", show(got), err)
			}
		})
	}
}

// The end of the context ends a call, and one that waits for its place.
func TestContext(t *testing.T) {
	e := view.NewEngine(view.Limits{Time: time.Hour, Parallel: 1})
	m, err := view.CompileMap(`function(doc) { for (;;) {} }`)
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := m.Rows(ctx, s, []byte(`{}`)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Rows after its context: %v", err)
	}
	if _, err := m.Rows(t.Context(), s, []byte(`{}`)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Rows in a dead session: %v", err)
	}
	if _, err := e.Open(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open without a place: %v", err)
	}
	s.Close()
	if s, err = e.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// Sessions share nothing.
func TestIsolation(t *testing.T) {
	e := view.NewEngine(view.Limits{})
	if _, err := rows(t, e, `function(doc) { leak = 1; Array.prototype.extra = 1; Object.prototype.toString = null; emit(1) }`, `{}`); err != nil {
		t.Fatal(err)
	}
	got, err := rows(t, e, `function(doc) { emit([typeof leak, typeof [].extra, typeof {}.toString]) }`, `{}`)
	if err != nil || show(got) != `["undefined","undefined","function"] null`+"\n" {
		t.Errorf("%s, %v", show(got), err)
	}
}

// What is not one function, or cannot be bounded, does not compile.
func TestCompile(t *testing.T) {
	for _, bad := range []string{
		``, `function(doc) {`, `1`, `function(doc) {} function(doc) {}`, `function(doc) {}); (function() {}`, `emit(1)`,
		`function(doc) { emit(10n ** 1000000000n) }`, `function(doc) { f(...doc.list) }`, `async function(doc) {}`, `function*(doc) {}`,
		`async doc => 1`, `function(doc) { var [a, ...b] = doc.list }`, strings.Repeat("(", 1e5), "function(doc) {" + strings.Repeat("[", 300) + strings.Repeat("]", 300) + "}",
		"function(doc) {" + strings.Repeat(" ", 1<<17) + "emit(1) }",
	} {
		if err := view.Check(bad); err == nil {
			t.Errorf("%.60q compiles", bad)
		}
	}
	for _, good := range []string{
		`function(doc) {}`, ` function (doc) { emit(1) } ; `, "// comment\nfunction(doc) {}", "function(doc) {} // comment", `doc => emit(doc)`,
		`(function(doc) {})`, `function named(doc) {}`, "function(doc) {}\n//# sourceMappingURL=/etc/passwd", "function(doc) { emit(" + strings.Repeat("!", 60000) + "doc) }",
	} {
		if err := view.Check(good); err != nil {
			t.Errorf("%.60q: %v", good, err)
		}
	}
}
