package replicate

import (
	"encoding/json"
	"errors"
	"io"
)

// errEnough ends a stream whose rest is of no interest.
var errEnough = errors.New("enough")

// A stream reads JSON piece by piece, each of bounded size.
type stream struct {
	m *meter
	d *json.Decoder
}

func newStream(r io.Reader) *stream {
	m := &meter{r: r, left: maxReply}
	return &stream{m, json.NewDecoder(m)}
}

// value reads one value of at most limit bytes.
func (s *stream) value(to any, limit int64) error {
	s.m.left = limit
	return wrongJSON(s.d.Decode(to))
}

// object reads an object; f reads the value of each member.
func (s *stream) object(f func(name string) error) error {
	if err := s.delim('{'); err != nil {
		return err
	}
	for s.d.More() {
		s.m.left = maxReply
		t, err := s.d.Token()
		if err != nil {
			return wrongJSON(err)
		}
		name, ok := t.(string)
		if !ok {
			return errNotJSON
		}
		if err := f(name); err != nil {
			return err
		}
	}
	return s.delim('}')
}

// array reads an array; f reads each element.
func (s *stream) array(f func() error) error {
	if err := s.delim('['); err != nil {
		return err
	}
	for s.d.More() {
		if err := f(); err != nil {
			return err
		}
	}
	return s.delim(']')
}

func (s *stream) delim(want json.Delim) error {
	s.m.left = maxReply
	t, err := s.d.Token()
	if err != nil {
		return wrongJSON(err)
	}
	if t != want {
		return errNotJSON
	}
	return nil
}

// wrongJSON replaces the errors of the decoder, which quote what was read.
func wrongJSON(err error) error {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, kind := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case syntax || kind:
		return errNotJSON
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}
