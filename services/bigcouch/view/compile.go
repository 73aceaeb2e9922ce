package view

import (
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strings"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/parser"
)

// Bounds of a source.
const (
	maxSource = 64 << 10 // Bytes.
	maxNested = 200      // Brackets inside each other.
)

// Check returns why source is not the source of one function.
func Check(source string) error {
	_, err := compile(source)
	return err
}

// compile returns the program whose value is the function that source is.
func compile(source string) (*goja.Program, error) {
	source = strings.TrimRight(source, " \t\r\n;")
	if len(source) > maxSource {
		return nil, fmt.Errorf("the source has more than %d bytes", maxSource)
	}
	if nesting(source) > maxNested {
		return nil, fmt.Errorf("the source has more than %d brackets inside each other", maxNested)
	}
	// Without the option the parser reads what a comment calls a source map,
	// a file.
	tree, err := goja.Parse("", "("+source+"\n)", parser.WithDisableSourceMaps)
	if err != nil {
		return nil, errors.New(clip(err.Error(), 500))
	}
	if len(tree.Body) != 1 {
		return nil, errNoFunction
	}
	statement, ok := tree.Body[0].(*ast.ExpressionStatement)
	if !ok {
		return nil, errNoFunction
	}
	switch statement.Expression.(type) {
	case *ast.FunctionLiteral, *ast.ArrowFunctionLiteral:
	default:
		return nil, errNoFunction
	}
	if err := forbidden(reflect.ValueOf(statement.Expression)); err != nil {
		return nil, err
	}
	p, err := goja.CompileAST(tree, false)
	if err != nil {
		return nil, errors.New(clip(err.Error(), 500))
	}
	return p, nil
}

var errNoFunction = errors.New("expression does not eval to a function")

// nesting returns how deep the brackets of source are nested at most. Those in
// strings and comments count too.
func nesting(source string) (deepest int) {
	depth := 0
	for i := range len(source) {
		switch source[i] {
		case '(', '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ')', ']', '}':
			depth = max(0, depth-1)
		}
	}
	return deepest
}

// forbidden finds syntax whose cost cannot be bounded: integers without bound,
// lists made from anything that has a length, and what goes on after the call.
func forbidden(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		switch n := v.Interface().(type) {
		case *ast.SpreadElement:
			return errors.New("spread is not offered")
		case *ast.NumberLiteral:
			if _, ok := n.Value.(*big.Int); ok {
				return errors.New("BigInt is not offered")
			}
			return nil
		case *ast.FunctionLiteral:
			if n.Async || n.Generator {
				return errors.New("async functions and generators are not offered")
			}
		case *ast.ArrowFunctionLiteral:
			if n.Async {
				return errors.New("async functions and generators are not offered")
			}
		case *ast.ArrayPattern:
			if n.Rest != nil {
				return errors.New("spread is not offered")
			}
		case *ast.Identifier:
			return nil
		}
		return forbidden(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			// Declarations are in the statements a second time.
			if f := v.Type().Field(i); f.IsExported() && f.Name != "DeclarationList" {
				if err := forbidden(v.Field(i)); err != nil {
					return err
				}
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := forbidden(v.Index(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// load returns the function of a program in this session.
func (s *Session) load(p *goja.Program) (goja.Callable, error) {
	if f := s.loaded[p]; f != nil {
		return f, nil
	}
	v, err := s.rt.RunProgram(p)
	if err != nil {
		return nil, err
	}
	f, ok := goja.AssertFunction(v)
	if !ok {
		return nil, errNoFunction
	}
	s.loaded[p] = f
	return f, nil
}

// parse returns the value of JSON in the session's runtime.
func (s *Session) parse(data []byte) (goja.Value, error) {
	if len(data) > s.limits.Input {
		return nil, ErrInput
	}
	if depthOf(data) > maxDepth {
		return nil, ErrInput
	}
	return s.parseJSON(goja.Undefined(), s.rt.ToValue(string(data)))
}
