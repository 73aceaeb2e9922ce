package bigcouch

import "bytes"

// maxDepth is how deep arrays and objects may lie in each other, as in
// encoding/json.
const maxDepth = 10_000

// squeeze checks that data is one JSON value, RFC 8259 and no more, and returns
// it without white space: data itself if there was none. It does what
// json.Compact does, several times as fast; every document comes through here.
// Strings need not be UTF-8.
func squeeze(data []byte) ([]byte, bool) {
	s := squeezer{in: data}
	s.space()
	if !s.value(0) {
		return nil, false
	}
	s.space()
	if s.at < len(data) {
		return nil, false
	}
	if s.kept == 0 {
		return data, true
	}
	return append(s.out, data[s.kept:]...), true
}

// A squeezer walks over JSON. Its methods stop behind what they are named
// after, and return false where that is not what is there.
type squeezer struct {
	in   []byte
	at   int
	out  []byte
	kept int // Where what is not yet in out begins.
}

// next returns the byte that is there, 0 at the end.
func (s *squeezer) next() byte {
	if s.at < len(s.in) {
		return s.in[s.at]
	}
	return 0
}

// take steps over a byte.
func (s *squeezer) take(c byte) bool {
	if s.next() != c {
		return false
	}
	s.at++
	return true
}

func white(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// space leaves white space out.
func (s *squeezer) space() {
	if !white(s.next()) {
		return
	}
	if s.out == nil {
		s.out = make([]byte, 0, len(s.in))
	}
	s.out = append(s.out, s.in[s.kept:s.at]...)
	for white(s.next()) {
		s.at++
	}
	s.kept = s.at
}

func (s *squeezer) value(depth int) bool {
	switch c := s.next(); c {
	case '{':
		return s.list('}', depth+1, true)
	case '[':
		return s.list(']', depth+1, false)
	case '"':
		return s.string()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

// list is an array, or an object, whose members have names.
func (s *squeezer) list(end byte, depth int, named bool) bool {
	if depth > maxDepth {
		return false
	}
	s.at++
	s.space()
	if s.take(end) {
		return true
	}
	for {
		if named {
			if s.next() != '"' || !s.string() {
				return false
			}
			s.space()
			if !s.take(':') {
				return false
			}
			s.space()
		}
		if !s.value(depth) {
			return false
		}
		s.space()
		if s.take(end) {
			return true
		}
		if !s.take(',') {
			return false
		}
		s.space()
	}
}

func (s *squeezer) string() bool {
	s.at++
	for s.at < len(s.in) {
		switch c := s.in[s.at]; {
		case c == '"':
			s.at++
			return true
		case c < ' ':
			return false
		case c != '\\':
			s.at++
		case s.at+1 == len(s.in):
			return false
		case bytes.IndexByte([]byte(`"\/bfnrt`), s.in[s.at+1]) >= 0:
			s.at += 2
		case s.in[s.at+1] != 'u' || s.at+6 > len(s.in):
			return false
		default:
			for _, c := range s.in[s.at+2 : s.at+6] {
				if !digit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
					return false
				}
			}
			s.at += 6
		}
	}
	return false
}

func (s *squeezer) word(w string) bool {
	if !bytes.HasPrefix(s.in[s.at:], []byte(w)) {
		return false
	}
	s.at += len(w)
	return true
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func (s *squeezer) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.next()|0x20 != 'e' {
		return true
	}
	s.at++
	if !s.take('+') {
		s.take('-')
	}
	return s.digits()
}

// digits are one or more.
func (s *squeezer) digits() bool {
	from := s.at
	for digit(s.next()) {
		s.at++
	}
	return s.at > from
}
