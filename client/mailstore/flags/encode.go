package flags

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"leap.example/services/protocol/problem"
)

// Max is how many flags a device sets on one message at most. What a merge of
// several devices makes may be more.
const Max = 64

const (
	version    = 1
	maxSize    = 512 << 10 // Bytes of an encoded State.
	maxName    = 128       // Bytes of a flag, a device, an id.
	maxFlags   = 1024
	maxDevices = 256
	maxClock   = 1 << 48 // Of a device's number: it never wraps.
)

type document struct {
	Version  int                 `json:"v"`
	Body     string              `json:"body"`
	Clock    map[string]uint64   `json:"clock"`
	Present  []string            `json:"present,omitempty"`
	Box      string              `json:"box"`
	BoxDot   string              `json:"box_dot"`
	Flags    map[string][]string `json:"flags,omitempty"`
	Expunged int64               `json:"expunged,omitempty"`
}

// Encode returns the one encoding of s.
func (s State) Encode() []byte {
	doc := document{
		Version: version, Body: s.msg, Clock: s.clock, Present: formatDots(s.present),
		Box: s.box, BoxDot: s.boxDot.String(), Expunged: s.expunged,
	}
	if len(s.flags) > 0 {
		doc.Flags = map[string][]string{}
	}
	for name, dots := range s.flags {
		doc.Flags[name] = formatDots(dots)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(doc); err != nil {
		panic(err) // Strings, numbers and maps of them always encode.
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Decode returns the State that Encode wrote. Errors are of kind
// problem.Invalid.
func Decode(data []byte) (State, error) {
	if len(data) > maxSize {
		return State{}, problem.Invalid.Errorf("flags document of %d bytes", len(data))
	}
	var doc document
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return State{}, problem.Invalid.Errorf("flags document: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return State{}, problem.Invalid.Errorf("data after the flags document")
	}
	if doc.Version != version {
		return State{}, problem.Invalid.Errorf("flags document of version %d", doc.Version)
	}
	return doc.state()
}

func (doc document) state() (State, error) {
	s := State{msg: doc.Body, clock: map[string]uint64{}, box: doc.Box, flags: map[string][]dot{}, expunged: doc.Expunged}
	if len(doc.Clock) > maxDevices || len(doc.Flags) > maxFlags || len(doc.Body) > maxName || len(doc.Box) > maxName {
		return State{}, problem.Invalid.Errorf("flags document beyond its limits")
	}
	for device, n := range doc.Clock {
		if device == "" || len(device) > maxName || n == 0 || n > maxClock {
			return State{}, problem.Invalid.Errorf("flags document with a wrong clock")
		}
		s.clock[device] = n
	}
	var err error
	if s.boxDot, err = s.parseDot(doc.BoxDot); err != nil {
		return State{}, err
	}
	if s.present, err = s.parseDots(doc.Present); err != nil {
		return State{}, err
	}
	for name, texts := range doc.Flags {
		if !Valid(name) || len(texts) == 0 {
			return State{}, problem.Invalid.Errorf("flags document with the flag %q", name)
		}
		if s.flags[name], err = s.parseDots(texts); err != nil {
			return State{}, err
		}
	}
	return s, nil
}

func (d dot) String() string { return strconv.FormatUint(d.n, 10) + "@" + d.device }

func formatDots(dots []dot) []string {
	var texts []string
	for _, d := range dots {
		texts = append(texts, d.String())
	}
	return texts
}

// parseDot accepts only dots that the clock of s has seen.
func (s State) parseDot(text string) (dot, error) {
	number, device, _ := strings.Cut(text, "@")
	n, err := strconv.ParseUint(number, 10, 64)
	d := dot{n, device}
	if err != nil || n == 0 || n > s.clock[device] || d.String() != text {
		return dot{}, problem.Invalid.Errorf("flags document with the dot %q", text)
	}
	return d, nil
}

func (s State) parseDots(texts []string) ([]dot, error) {
	var dots []dot
	for _, text := range texts {
		d, err := s.parseDot(text)
		if err != nil {
			return nil, err
		}
		dots = append(dots, d)
	}
	if !slices.IsSortedFunc(dots, compareDots) || len(slices.Compact(slices.Clone(dots))) != len(dots) {
		return nil, problem.Invalid.Errorf("flags document with unsorted dots")
	}
	return dots, nil
}
