package replicate

import (
	"bytes"
	"encoding/json"
)

// members are those of an object, in order and as they were written: numbers of
// any length pass through.
type members struct {
	names  []string
	values []json.RawMessage
}

// parseMembers takes an object apart.
func parseMembers(data []byte) (*members, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('{') {
		return nil, errNotJSON
	}
	m := &members{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok {
			return nil, errNotJSON
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		m.names, m.values = append(m.names, name), append(m.values, v)
	}
	_, err = d.Token()
	return m, err
}

// get returns the value of a member, nil if there is none. Of two the last
// counts.
func (m *members) get(name string) json.RawMessage {
	for i := len(m.names) - 1; i >= 0; i-- {
		if m.names[i] == name {
			return m.values[i]
		}
	}
	return nil
}

// without writes the object without a member and without its last brace.
func (m *members) without(name string) []byte {
	b := []byte{'{'}
	for i, n := range m.names {
		if n == name {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(appendString(b, n), ':')
		b = append(b, m.values[i]...)
	}
	return b
}

// appendString appends a string as JSON.
func appendString(b []byte, s string) []byte {
	enc, _ := json.Marshal(s) // Strings cannot fail.
	return append(b, enc...)
}
