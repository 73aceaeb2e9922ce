package view

import (
	"context"

	"github.com/dop251/goja"
)

// A Decision is a compiled filter or validate_doc_update function. Any
// goroutine may use it.
type Decision struct{ program *goja.Program }

// CompileDecision compiles a function.
func CompileDecision(source string) (*Decision, error) {
	p, err := compile(source)
	return &Decision{p}, err
}

// Passes runs a filter over a document and a request, JSON each, and reports
// whether the document passes.
func (d *Decision) Passes(ctx context.Context, s *Session, doc, req []byte) (passes bool, err error) {
	err = s.do(ctx, func() error {
		v, err := s.apply(d.program, doc, req)
		if err == nil {
			passes = v.ToBoolean()
		}
		return err
	})
	return passes, err
}

// Allows runs a validate_doc_update function over the new document, the former
// one or null, the user and the security object, JSON each. The error of one
// that refuses is an Exception.
func (d *Decision) Allows(ctx context.Context, s *Session, args ...[]byte) error {
	return s.do(ctx, func() error {
		_, err := s.apply(d.program, args...)
		return err
	})
}

// apply calls a function with arguments in JSON, on the session's goroutine.
func (s *Session) apply(p *goja.Program, args ...[]byte) (goja.Value, error) {
	f, err := s.load(p)
	if err != nil {
		return nil, err
	}
	values := make([]goja.Value, len(args))
	for i, a := range args {
		if values[i], err = s.parse(a); err != nil {
			return nil, err
		}
	}
	return f(goja.Undefined(), values...)
}
