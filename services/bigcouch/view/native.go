package view

import (
	"crypto/sha256"
	"errors"
	"strings"
)

// A native is a map in Go. It does what the JavaScript does, also with
// documents that nobody expects; false means that the JavaScript throws.
type native func(doc *object, emit func(key, value any)) bool

// A fingerprint names a text.
type fingerprint [sha256.Size]byte

// fingerprintOf returns the name of a function's text without what indentation
// it has: lines are what they are, since a line's end may end a statement or a
// comment, but white space around and within them counts as one space.
func fingerprintOf(source string) fingerprint {
	var b strings.Builder
	for line := range strings.Lines(source) {
		words := strings.Fields(line)
		if len(words) > 0 {
			b.WriteString(strings.Join(words, " ") + "\n")
		}
	}
	return sha256.Sum256([]byte(b.String()))
}

// inGo is Rows for a native map.
func (m *Map) inGo(l Limits, doc []byte) ([]Row, error) {
	if len(doc) > l.Input || depthOf(doc) > maxDepth {
		return nil, ErrInput
	}
	o, err := parseObject(doc)
	if errors.Is(err, errNumber) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rows []Row
	size, fits := 0, true
	ok := m.native(o, func(key, value any) {
		r := Row{appendValue(nil, key), appendValue(nil, value)}
		size += len(r.Key) + len(r.Value) + rowCost
		fits = fits && len(r.Key) <= maxKey
		rows = append(rows, r)
	})
	if size > l.Output || len(rows) > l.Rows {
		return nil, ErrOutput
	}
	if !ok || !fits {
		return nil, nil
	}
	return rows, nil
}
