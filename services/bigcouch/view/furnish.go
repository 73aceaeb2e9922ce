package view

import (
	"math"
	"strings"

	"github.com/dop251/goja"
)

// Bounds of what built-in functions get and make.
const (
	maxElements = 1 << 20 // Of an array, arguments of a call not counted.
	maxText     = 8 << 20 // UTF-16 units of a string that a built-in makes.
	maxArgs     = 1 << 16 // Arguments from a list.
	maxPattern  = 4 << 10 // Units of a regular expression.
	maxJoins    = 100     // Arrays inside each other that become a string.
	maxCalls    = 1000    // Calls of functions inside each other.
)

// A check looks at the arguments of a built-in function before it runs, and
// may replace them by what it has looked at. It throws where they are too
// large.
type check func(c *goja.FunctionCall)

// furnish takes away what cannot be bounded, puts checks before what can, and
// adds what functions of design documents may use.
func (s *Session) furnish() {
	rt, global := s.rt, s.rt.GlobalObject()
	rt.SetMaxCallStackSize(maxCalls)
	proto := func(class string) *goja.Object {
		return rt.Get(class).ToObject(rt).Get("prototype").ToObject(rt)
	}
	array, text, regex := proto("Array"), proto("String"), proto("RegExp")

	for _, name := range array.GetOwnPropertyNames() {
		s.guard(array, name, s.checkArray)
	}
	for name, f := range map[string]check{
		"concat": s.checkConcat, "join": s.checkJoin,
	} {
		s.guard(array, name, f)
	}
	for name, f := range map[string]check{
		"repeat": s.checkRepeat, "padStart": s.checkPad, "padEnd": s.checkPad, "concat": s.checkSum,
		"replace": s.checkReplace, "replaceAll": s.checkReplace, "split": s.checkMatch, "match": s.checkMatch,
		"matchAll": s.checkMatch, "search": s.checkMatch, "normalize": s.checkText,
	} {
		s.guard(text, name, f)
	}
	s.guard(proto("Function"), "apply", s.checkApply)
	object := rt.Get("Object").ToObject(rt)
	for _, name := range []string{"keys", "values", "entries", "assign", "getOwnPropertyNames", "getOwnPropertyDescriptors", "freeze", "seal", "isFrozen", "isSealed", "defineProperties", "create", "fromEntries"} {
		s.guard(object, name, s.checkMembers)
	}
	s.guard(rt.Get("Array").ToObject(rt), "from", s.checkFrom)

	remove(array, "flat", "flatMap", "toLocaleString")
	remove(rt.Get("String").ToObject(rt), "raw")
	remove(object, "getOwnPropertySymbols", "groupBy")
	remove(regex, "compile", "constructor")
	json := s.json()
	for _, name := range global.GetOwnPropertyNames() {
		if !offered[name] {
			remove(global, name)
		}
	}
	s.replaceConstructor("Function", "Function")
	s.replaceConstructor("RegExp", "")
	s.set(global, "JSON", json)
	for name, f := range map[string]func(goja.FunctionCall) goja.Value{
		"emit": s.jsEmit, "sum": s.jsSum, "log": s.jsLog, "toJSON": s.jsToJSON, "isArray": s.jsIsArray,
	} {
		s.set(global, name, rt.ToValue(f))
	}
}

// offered are the global names that stay.
var offered = func() map[string]bool {
	m := map[string]bool{}
	for name := range strings.FieldsSeq(`Object Function Array String Number Boolean Date Math RegExp Map Set
		Error EvalError RangeError ReferenceError SyntaxError TypeError URIError
		NaN Infinity undefined globalThis parseInt parseFloat isNaN isFinite
		decodeURI decodeURIComponent encodeURI encodeURIComponent escape unescape`) {
		m[name] = true
	}
	return m
}()

func remove(o *goja.Object, names ...string) {
	for _, name := range names {
		if err := o.Delete(name); err != nil {
			_ = o.Set(name, goja.Undefined()) // Where even that fails nothing refers to it: NaN and the like stay.
		}
	}
}

func (s *Session) set(o *goja.Object, name string, v goja.Value) {
	if err := o.DefineDataProperty(name, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE); err != nil {
		panic(err) // Of a new runtime.
	}
}

// guard puts a check before a method.
func (s *Session) guard(o *goja.Object, name string, f check) {
	method, ok := goja.AssertFunction(o.Get(name))
	if !ok || name == "constructor" {
		return
	}
	s.set(o, name, s.rt.ToValue(func(c goja.FunctionCall) goja.Value {
		f(&c)
		return must(method(c.This, c.Arguments...))
	}))
}

// replaceConstructor replaces a constructor that compiles text by one that
// refuses, or, for regular expressions, looks at the text's length first.
// Instances keep their prototype.
func (s *Session) replaceConstructor(name, refused string) {
	rt := s.rt
	old := rt.Get(name).ToObject(rt)
	made := rt.ToValue(func(c goja.ConstructorCall) *goja.Object {
		if refused != "" {
			panic(rt.NewTypeError(refused + "() is not offered"))
		}
		args := make([]goja.Value, len(c.Arguments))
		for i, a := range c.Arguments {
			if o, ok := a.(*goja.Object); !ok || o.ClassName() != "RegExp" {
				a = s.pattern(a)
			}
			args[i] = a
		}
		o, err := rt.New(old, args...)
		if err != nil {
			panic(err)
		}
		return o
	}).ToObject(rt)
	prototype := old.Get("prototype").ToObject(rt)
	if err := made.Set("prototype", prototype); err != nil {
		panic(err) // Of a new runtime.
	}
	s.set(prototype, "constructor", made)
	s.set(rt.GlobalObject(), name, made)
}

func (s *Session) tooLarge() {
	v, err := s.rt.New(s.rt.Get("RangeError"), s.rt.ToValue("too large for a function of a design document"))
	if err != nil {
		panic(s.rt.NewTypeError("too large for a function of a design document"))
	}
	panic(v)
}

// pattern returns a value as the text of a regular expression.
func (s *Session) pattern(v goja.Value) goja.Value {
	if v == nil || goja.IsUndefined(v) {
		return v
	}
	p := v.ToString()
	if length(p) > maxPattern {
		s.tooLarge()
	}
	return p
}

// length returns how many units a string has.
func length(v goja.Value) int {
	if t, ok := v.(goja.String); ok {
		return t.Length()
	}
	return 0
}

// elements returns the member length of an object, 0 of anything else.
func elements(v goja.Value) int {
	o, ok := v.(*goja.Object)
	if !ok {
		return length(v)
	}
	n := o.Get("length")
	if n == nil {
		return 0
	}
	return int(min(n.ToInteger(), math.MaxInt32))
}
