package oneshot

import "encoding/json"

// Text is what a unit is.
func (i Install) Text(name string) ([]byte, error) { return i.text(name) }

// ParseLine reads a line.
func ParseLine(text []byte) (Line, error) { return parseLine(text) }

// JSON is the line as it is told.
func (l Line) JSON() []byte {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	return text
}
