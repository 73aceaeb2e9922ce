package view

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/dop251/goja"
)

// A Row is what a map emitted: key and value as JSON.
type Row struct{ Key, Value []byte }

// A Map is a compiled map function. Any goroutine may use it.
type Map struct {
	program *goja.Program
	native  native // Nil: none.
}

// CompileMap compiles a map function. The maps of LEAP's design documents,
// which are known by their text, run in Go.
func CompileMap(source string) (*Map, error) {
	p, err := compile(source)
	if err != nil {
		return nil, err
	}
	return &Map{p, natives()[fingerprintOf(source)]}, nil
}

// Native reports whether the map runs in Go.
func (m *Map) Native() bool { return m.native != nil }

// Rows runs a map over one document, JSON with _id and _rev. A map that throws
// has no rows, as in CouchDB; any error is one of the bounds or of ctx. s may
// be nil for a native one.
func (m *Map) Rows(ctx context.Context, s *Session, doc []byte) ([]Row, error) {
	if m.native != nil {
		return m.inGo(Limits{}.withDefaults(), doc)
	}
	var rows []Row
	size := 0
	err := s.do(ctx, func() error {
		f, err := s.load(m.program)
		if err != nil {
			return err
		}
		v, err := s.parse(doc)
		if err != nil {
			return err
		}
		s.emit = func(key, value goja.Value) {
			e := encoder{s: s, limit: s.limits.Output - size}
			e.orNull(key)
			n := len(e.b)
			e.orNull(value)
			size += len(e.b) + rowCost
			if e.full || size > s.limits.Output || len(rows) >= s.limits.Rows {
				s.stopWith(ErrOutput)
				return
			}
			if n > maxKey {
				s.tooLarge()
			}
			rows = append(rows, Row{e.b[:n:n], e.b[n:]})
		}
		defer func() { s.emit = nil }()
		_, err = f(goja.Undefined(), v)
		return err
	})
	if _, thrown := errors.AsType[*Exception](err); thrown {
		return nil, nil
	}
	return rows, err
}

const (
	rowCost = 64        // What a row costs beside key and value, bytes.
	maxKey  = 256 << 10 // Bytes of a key.
)

// Value decodes JSON of a row for package order and for the built-in reduces.
func Value(data []byte) (any, error) {
	var v any
	err := json.NewDecoder(bytes.NewReader(data)).Decode(&v)
	return v, err
}
