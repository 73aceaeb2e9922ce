package differ

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// An Answer is what is compared of a response.
type Answer struct {
	Status int
	Type   string // Of an attachment.
	Body   any    // JSON, or a string.
}

func (a Answer) String() string {
	b, err := json.Marshal(a.Body)
	if err != nil {
		return err.Error()
	}
	s := fmt.Sprintf("%d %s", a.Status, b)
	if a.Type != "" {
		s += " (" + a.Type + ")"
	}
	return s
}

// equal compares answers in their canonical form.
func (a Answer) equal(b Answer) bool { return a.String() == b.String() }

// copied returns a copy that may be changed.
func (a Answer) copied() Answer {
	b, err := json.Marshal(a.Body)
	if err == nil {
		a.Body, err = decode(b)
	}
	if err != nil {
		panic(err) // It was JSON before.
	}
	return a
}

// decode keeps numbers as they are written.
func decode(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return v, d.Decode(&v)
}

// revision is one that a server made up, or one of pushed.
var revision = regexp.MustCompile(`^([0-9]+)-([0-9a-f]{32})$`)

// labels are names of revisions by the order in which a server showed them.
type labels map[string]string

// of returns the name of a revision; one that was pushed keeps its own.
func (l labels) of(rev string) string {
	m := revision.FindStringSubmatch(rev)
	if m == nil || pushed(m[2]) {
		return rev
	}
	if l[rev] == "" {
		l[rev] = fmt.Sprintf("%s-r%d", m[1], len(l))
	}
	return l[rev]
}

// pushed reports whether a test has made up a revision: such ones are before
// or behind all that a server makes up, so that both servers choose the same
// winner.
func pushed(hash string) bool {
	return strings.HasPrefix(hash, "00000000") || strings.HasPrefix(hash, "ffffffff")
}

// walk replaces strings and values of members in v.
func walk(v any, member func(name string, v any) any, text func(string) string) any {
	switch v := v.(type) {
	case string:
		return text(v)
	case []any:
		for i := range v {
			v[i] = walk(v[i], member, text)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			x := walk(member(name, v[name]), member, text)
			delete(v, name)
			v[text(name)] = x
		}
	}
	return v
}
