package view

import (
	"strings"

	"github.com/dop251/goja"
)

// json returns the object JSON: stringify of our own, which stops at a limit,
// and parse with a look at the depth before.
func (s *Session) json() goja.Value {
	rt := s.rt
	old := rt.Get("JSON").ToObject(rt)
	parse, _ := goja.AssertFunction(old.Get("parse"))
	s.parseJSON = parse
	o := rt.NewObject()
	s.set(o, "parse", rt.ToValue(func(c goja.FunctionCall) goja.Value {
		text := c.Argument(0).ToString()
		if length(text) > s.limits.Input || depthOf([]byte(text.String())) > maxDepth {
			s.tooLarge()
		}
		return must(parse(c.This, append([]goja.Value{text}, c.Arguments[min(1, len(c.Arguments)):]...)...))
	}))
	s.set(o, "stringify", rt.ToValue(s.stringify))
	return o
}

func (s *Session) stringify(c goja.FunctionCall) goja.Value {
	e := encoder{s: s, limit: min(maxText, s.limits.Output)}
	if r, ok := c.Argument(1).(*goja.Object); ok {
		if f, callable := goja.AssertFunction(r); callable {
			e.replacer = f
		} else if r.ClassName() == "Array" {
			e.only = map[string]bool{}
			for _, key := range r.Keys() {
				e.only[r.Get(key).String()] = true
			}
		}
	}
	switch gap := c.Argument(2); {
	case goja.IsNumber(gap):
		e.gap = strings.Repeat(" ", int(min(10, max(0, gap.ToInteger()))))
	case goja.IsString(gap):
		e.gap = clip(gap.String(), 10)
	}
	if !e.value(c.Argument(0)) && !e.full {
		return goja.Undefined()
	}
	if e.full {
		s.tooLarge()
	}
	return s.rt.ToValue(string(e.b))
}

// depthOf returns how deep the brackets of JSON are nested at most.
func depthOf(data []byte) (deepest int) {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth--
		}
	}
	return deepest
}

// toJSON is JSON.stringify under the name that SpiderMonkey's functions had.
func (s *Session) jsToJSON(c goja.FunctionCall) goja.Value { return s.stringify(c) }

func (s *Session) jsLog(goja.FunctionCall) goja.Value { return goja.Undefined() }

func (s *Session) jsIsArray(c goja.FunctionCall) goja.Value {
	o, ok := c.Argument(0).(*goja.Object)
	return s.rt.ToValue(ok && o.ClassName() == "Array")
}

// jsSum adds up a list of numbers.
func (s *Session) jsSum(c goja.FunctionCall) goja.Value {
	list, ok := c.Argument(0).(*goja.Object)
	if !ok {
		panic(s.rt.NewTypeError("sum of something that is no list"))
	}
	total := 0.0
	for _, key := range list.Keys() {
		total += list.Get(key).ToFloat()
	}
	return s.rt.ToValue(total)
}

func (s *Session) jsEmit(c goja.FunctionCall) goja.Value {
	if s.emit == nil {
		panic(s.rt.NewTypeError("emit is only for map functions"))
	}
	s.emit(c.Argument(0), c.Argument(1))
	return goja.Undefined()
}
