package view

import (
	"math"
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

func (s *Session) checkArray(c *goja.FunctionCall) {
	if elements(c.This) > maxElements {
		s.tooLarge()
	}
}

func (s *Session) checkConcat(c *goja.FunctionCall) {
	n := elements(c.This)
	for _, a := range c.Arguments {
		if n += 1 + elements(a); n > maxElements {
			s.tooLarge()
		}
	}
}

// checkJoin turns the elements into strings, which adds up how long the result
// will be. Elements that are arrays come here again.
func (s *Session) checkJoin(c *goja.FunctionCall) {
	o, ok := c.This.(*goja.Object)
	if !ok {
		return
	}
	s.joins++
	defer func() { s.joins-- }()
	if s.joins > maxJoins {
		s.tooLarge()
	}
	n := int(o.Get("length").ToInteger())
	separator := 1
	if sep := c.Argument(0); !goja.IsUndefined(sep) {
		c.Arguments = []goja.Value{sep.ToString()}
		separator = length(c.Arguments[0])
	}
	total := int64(separator) * int64(n)
	list := make([]any, n)
	for i := range list {
		v := o.Get(strconv.Itoa(i))
		if v == nil || goja.IsUndefined(v) || goja.IsNull(v) {
			continue
		}
		t := v.ToString()
		if total += int64(length(t)); total > maxText {
			s.tooLarge()
		}
		list[i] = t
	}
	if total > maxText {
		s.tooLarge()
	}
	c.This = s.rt.NewArray(list...)
}

// self returns the string a method of strings is called on.
func (s *Session) self(c *goja.FunctionCall) goja.Value {
	if goja.IsUndefined(c.This) || goja.IsNull(c.This) {
		return c.This // The method throws.
	}
	c.This = c.This.ToString()
	return c.This
}

func (s *Session) checkRepeat(c *goja.FunctionCall) {
	n := c.Argument(0).ToFloat()
	c.Arguments = []goja.Value{s.rt.ToValue(n)}
	if l := length(s.self(c)); n > 0 && !math.IsInf(n, 1) && float64(l)*n > maxText {
		s.tooLarge()
	}
}

func (s *Session) checkPad(c *goja.FunctionCall) {
	if len(c.Arguments) == 0 {
		return
	}
	n := c.Arguments[0].ToFloat()
	if n > maxText {
		s.tooLarge()
	}
	c.Arguments = append([]goja.Value{s.rt.ToValue(n)}, c.Arguments[1:]...)
}

func (s *Session) checkSum(c *goja.FunctionCall) {
	n := length(s.self(c))
	for i, a := range c.Arguments {
		c.Arguments[i] = a.ToString()
		if n += length(c.Arguments[i]); n > maxText {
			s.tooLarge()
		}
	}
}

func (s *Session) checkText(c *goja.FunctionCall) {
	if length(s.self(c)) > maxElements {
		s.tooLarge()
	}
}

// checkMatch is for what takes a string apart.
func (s *Session) checkMatch(c *goja.FunctionCall) {
	s.checkText(c)
	if len(c.Arguments) == 0 {
		return
	}
	if _, ok := c.Arguments[0].(*goja.Object); !ok {
		c.Arguments = append([]goja.Value{s.pattern(c.Arguments[0])}, c.Arguments[1:]...)
	}
}

// checkReplace allows for the replacement at every place: what it quotes of the
// matches is the text once, unless they overlap, and what it quotes of the text
// around them is the text each time.
func (s *Session) checkReplace(c *goja.FunctionCall) {
	s.checkText(c)
	if len(c.Arguments) < 2 {
		return
	}
	args := append([]goja.Value(nil), c.Arguments...)
	overlap := false
	if o, ok := args[0].(*goja.Object); !ok {
		args[0] = args[0].ToString()
	} else if source := o.Get("source"); source != nil {
		overlap = strings.Contains(source.String(), "(?")
	}
	if _, callable := goja.AssertFunction(args[1]); !callable {
		args[1] = args[1].ToString()
		n, with := int64(length(c.This)), args[1].String()
		around := int64(strings.Count(with, "$`") + strings.Count(with, "$'"))
		quotes := int64(strings.Count(with, "$")) - around
		if overlap {
			around += quotes
		}
		if (n+1)*(int64(len(with))+around*n)+quotes*n > maxText {
			s.tooLarge()
		}
	}
	c.Arguments = args
}

func (s *Session) checkApply(c *goja.FunctionCall) {
	if len(c.Arguments) > 1 && elements(c.Arguments[1]) > maxArgs {
		s.tooLarge()
	}
}

// checkMembers is for what lists the members of its arguments.
func (s *Session) checkMembers(c *goja.FunctionCall) {
	for _, a := range c.Arguments {
		if o, ok := a.(*goja.Object); (!ok || o.ClassName() == "String") && elements(a) > maxElements {
			s.tooLarge()
		}
	}
}

// checkFrom is for what makes an array of its argument.
func (s *Session) checkFrom(c *goja.FunctionCall) {
	if elements(c.Argument(0)) > maxElements {
		s.tooLarge()
	}
}
