package history

import (
	"fmt"
	"time"
)

// A List is the ids that were there, in order, as a client was told: so many from
// one on, or all that follow it.
type List struct {
	Client       int
	Kind         Kind // Fresh or Stale.
	From         string
	Limit        int
	Descending   bool
	IDs          []string
	Call, Return time.Duration
}

// Misread returns an error unless the lists of a history are in order, name
// nothing that nobody had written by then, and, if they are fresh, all that was
// written once and acknowledged before they were asked for.
func Misread(ops []Op, lists []List) error {
	begun, once, twice := map[string]time.Duration{}, map[string]Op{}, map[string]bool{}
	for _, op := range ops {
		if op.Kind != Write {
			continue
		}
		if at, ok := begun[op.Doc]; !ok || op.Call < at {
			begun[op.Doc] = op.Call
		}
		_, known := once[op.Doc]
		twice[op.Doc] = known
		once[op.Doc] = op
	}
	for _, l := range lists {
		seen := map[string]bool{}
		last := l.From
		for i, id := range l.IDs {
			if !l.before(last, id) && (i > 0 || id != last) {
				return fmt.Errorf("client %d: %s comes behind %s in a list", l.Client, id, last)
			}
			if at, ok := begun[id]; !ok || at > l.Return {
				return fmt.Errorf("client %d: %s is in a list, and nobody had written it", l.Client, id)
			}
			seen[id], last = true, id
		}
		if l.Kind != Fresh {
			continue
		}
		whole := len(l.IDs) < l.Limit
		for id, op := range once {
			if twice[id] || op.Outcome != OK || op.Return > l.Call || seen[id] {
				continue
			}
			if !l.before(id, l.From) && (whole || l.before(id, last)) {
				return fmt.Errorf("client %d: %s, acknowledged at %v, is not in a fresh list from %q of %v", l.Client, id, op.Return, l.From, l.Call)
			}
		}
	}
	return nil
}

// before reports whether an id comes before another one in a list.
func (l List) before(a, b string) bool { return a != b && a < b != l.Descending }
