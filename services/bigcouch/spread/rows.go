package spread

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrAnswer means that an answer is not the list that it should be.
var ErrAnswer = errors.New("not the list that was asked for")

// Rows reads an object with one long list in it, element by element.
type Rows struct {
	dec  *json.Decoder
	name string
	in   bool // The next element of the list comes, or its end.

	// Members are those beside the list: those before it at first, all when the
	// list has ended.
	Members map[string]json.RawMessage
}

// Read reads up to the list of that name.
func Read(r io.Reader, name string) (*Rows, error) {
	rows := &Rows{dec: json.NewDecoder(r), name: name, Members: map[string]json.RawMessage{}}
	if err := rows.delim('{'); err != nil {
		return nil, err
	}
	if err := rows.members(); err != nil {
		return nil, err
	}
	if !rows.in {
		return nil, ErrAnswer
	}
	return rows, nil
}

// Next returns the next element; nil behind the last one.
func (r *Rows) Next() (json.RawMessage, error) {
	if !r.in {
		return nil, nil
	}
	if r.dec.More() {
		var row json.RawMessage
		err := r.dec.Decode(&row)
		return row, cut(err)
	}
	r.in = false
	if err := r.delim(']'); err != nil {
		return nil, err
	}
	err := r.members()
	if err == nil && r.in {
		err = ErrAnswer
	}
	return nil, err
}

// members reads members until the list or the end.
func (r *Rows) members() error {
	for r.dec.More() {
		t, err := r.dec.Token()
		if err != nil {
			return cut(err)
		}
		name, ok := t.(string)
		if !ok {
			return ErrAnswer
		}
		if name == r.name {
			r.in = true
			return r.delim('[')
		}
		var value json.RawMessage
		if err := r.dec.Decode(&value); err != nil {
			return cut(err)
		}
		r.Members[name] = value
	}
	return r.delim('}')
}

func (r *Rows) delim(want json.Delim) error {
	t, err := r.dec.Token()
	if err != nil {
		return cut(err)
	}
	if t != want {
		return fmt.Errorf("%w: %v in place of %v", ErrAnswer, t, want)
	}
	return nil
}

// cut makes of the end of an answer, where it is not expected, what it is.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
