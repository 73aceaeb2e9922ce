package view

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dop251/goja"
)

// A Reduce is a compiled reduce function, or one of those that are built in.
// Any goroutine may use it.
type Reduce struct {
	builtin func() accumulator // Nil: program.
	program *goja.Program
}

// A ValueError says that a built-in reduce met a value that it is not for, in
// CouchDB's words.
type ValueError struct{ Reason string }

func (e *ValueError) Error() string { return e.Reason }

// CompileReduce compiles a reduce function.
func CompileReduce(source string) (*Reduce, error) {
	if name := strings.TrimSpace(source); strings.HasPrefix(name, "_") {
		f := builtins[name]
		if f == nil {
			return nil, fmt.Errorf("`%s` is not a supported reduce function", clip(name, 100))
		}
		return &Reduce{builtin: f}, nil
	}
	p, err := compile(source)
	return &Reduce{program: p}, err
}

// Script reports whether the function needs a session.
func (r *Reduce) Script() bool { return r.builtin == nil }

// Combines reports whether values of the function can be reduced again. Different
// keys that were counted apart may be the same.
func (r *Reduce) Combines() bool {
	if r.builtin == nil {
		return true
	}
	_, ok := r.builtin().(combiner)
	return ok
}

// Combine reduces values that the function has returned for rows of the same
// group. s may be nil for one that is built in.
func (r *Reduce) Combine(ctx context.Context, s *Session, values [][]byte) ([]byte, error) {
	if r.builtin == nil {
		return (&Reduction{ctx: ctx, s: s, f: r.program, partial: values}).Result()
	}
	acc := r.builtin()
	for _, v := range values {
		if err := acc.(combiner).combine(v); err != nil {
			return nil, err
		}
	}
	return acc.result(), nil
}

// A Reduction reduces rows that are added one after the other, in the order of
// their keys.
type Reduction struct {
	ctx context.Context
	s   *Session // Nil for a built-in one.
	acc accumulator
	f   *goja.Program

	keys, values []byte   // Rows not yet reduced: elements of JSON lists.
	n            int      // So many.
	partial      [][]byte // What was reduced before.
}

// How much goes to a JavaScript function at once.
const (
	reduceRows  = 1000
	reduceBytes = 1 << 20
)

// Begin begins a reduction. s may be nil for one that is built in.
func (r *Reduce) Begin(ctx context.Context, s *Session) *Reduction {
	if r.builtin != nil {
		return &Reduction{acc: r.builtin()}
	}
	return &Reduction{ctx: ctx, s: s, f: r.program}
}

// Add adds a row: key and value as JSON, the document it comes from.
func (r *Reduction) Add(key []byte, id string, value []byte) error {
	if r.acc != nil {
		return r.acc.add(key, value)
	}
	if r.n > 0 {
		r.keys, r.values = append(r.keys, ','), append(r.values, ',')
	}
	r.keys = append(append(append(r.keys, '['), key...), ',')
	r.keys = append(appendText(r.keys, id), ']')
	r.values = append(r.values, value...)
	r.n++
	if r.n < reduceRows && len(r.keys)+len(r.values) < reduceBytes {
		return nil
	}
	return r.reduce()
}

// Result returns the value as JSON.
func (r *Reduction) Result() ([]byte, error) {
	if r.acc != nil {
		return r.acc.result(), nil
	}
	if r.n > 0 {
		if err := r.reduce(); err != nil {
			return nil, err
		}
	}
	for len(r.partial) > 1 {
		if err := r.again(); err != nil {
			return nil, err
		}
	}
	if len(r.partial) == 0 {
		return []byte("null"), nil
	}
	return r.partial[0], nil
}

// reduce reduces the rows that wait.
func (r *Reduction) reduce() error {
	v, err := r.s.call(r.ctx, r.f, list(r.keys), list(r.values), []byte("false"))
	if err != nil {
		return err
	}
	r.partial = append(r.partial, v)
	r.keys, r.values, r.n = nil, nil, 0
	if len(r.partial) >= reduceRows {
		return r.again()
	}
	return nil
}

// again reduces what was reduced before, as much as goes at once.
func (r *Reduction) again() error {
	var values []byte
	n := 0
	for n < len(r.partial) && (n < 2 || len(values) < reduceBytes) {
		if n > 0 {
			values = append(values, ',')
		}
		values = append(values, r.partial[n]...)
		n++
	}
	v, err := r.s.call(r.ctx, r.f, []byte("null"), list(values), []byte("true"))
	if err != nil {
		return err
	}
	r.partial = append(r.partial[n:], v)
	return nil
}

func list(elements []byte) []byte {
	return append(append([]byte{'['}, elements...), ']')
}

// call runs a function over arguments in JSON and returns the result as JSON.
// One that throws has the result null, as in CouchDB.
func (s *Session) call(ctx context.Context, p *goja.Program, args ...[]byte) ([]byte, error) {
	v, err := s.try(ctx, p, args...)
	if _, thrown := errors.AsType[*Exception](err); thrown {
		return []byte("null"), nil
	}
	return v, err
}

// try is call with what was thrown as an error.
func (s *Session) try(ctx context.Context, p *goja.Program, args ...[]byte) (out []byte, err error) {
	err = s.do(ctx, func() error {
		v, err := s.apply(p, args...)
		if err != nil {
			return err
		}
		e := encoder{s: s, limit: s.limits.Output}
		if ex := s.rt.Try(func() { e.orNull(v) }); ex != nil {
			return ex
		}
		if e.full {
			return ErrOutput
		}
		out = e.b
		return nil
	})
	return out, err
}
