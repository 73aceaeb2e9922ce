package history

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// register is one document. Its state is its value.
var register = porcupine.Model{
	Init: func() any { return Missing },
	Step: func(state, in, _ any) (bool, any) { return step(state.(string), in.(Op)) },
}

// step reports whether op may have had its outcome in a state, and returns the
// state after it.
func step(state string, op Op) (bool, string) {
	if op.Kind != Write {
		return state == op.Value || op.Value == Tombstone && strings.HasPrefix(state, Tombstone), state
	}
	fits := state == op.From || op.From == Missing && absent(state)
	switch {
	case op.Outcome == Illegal: // That is judged by Unlawful.
		return true, state
	case op.Outcome == Refused:
		return !fits, state
	case fits:
		return true, op.Value
	default: // One of unknown outcome was refused, or is yet to come.
		return op.Outcome == Unknown, state
	}
}

// Linearizable returns an error unless there is an order of writes and fresh
// reads, one for each document, that explains all answers.
func Linearizable(ops []Op, patience time.Duration) error {
	docs := map[string][]Op{}
	for _, op := range ops {
		if op.Kind != Stale && (op.Kind == Write || op.Outcome == OK) {
			docs[op.Doc] = append(docs[op.Doc], op)
		}
	}
	deadline := time.Now().Add(patience)
	for _, id := range slices.Sorted(maps.Keys(docs)) {
		left := max(time.Millisecond, time.Until(deadline))
		switch porcupine.CheckOperationsTimeout(register, operations(docs[id]), left) {
		case porcupine.Illegal:
			return fmt.Errorf("document %s: %d operations are not linearizable:\n%s", id, len(docs[id]), text(docs[id]))
		case porcupine.Unknown:
			return fmt.Errorf("document %s: %d operations: undecided after %v", id, len(docs[id]), patience)
		}
	}
	return nil
}

// operations prepares the operations of one document for the checker. A write
// of unknown outcome may be yet to come: it never returns.
func operations(ops []Op) []porcupine.Operation {
	var out []porcupine.Operation
	for _, op := range ops {
		end := int64(op.Return)
		if op.Outcome == Unknown {
			end = math.MaxInt64
		}
		out = append(out, porcupine.Operation{ClientId: op.Client, Input: op, Call: int64(op.Call), Return: end})
	}
	return out
}

// text returns operations in the order in which they began.
func text(ops []Op) string {
	ops = slices.SortedFunc(slices.Values(ops), func(a, b Op) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	for _, op := range ops {
		fmt.Fprintf(&b, "%v..%v client %d %s %q -> %q %s %s\n", op.Call, op.Return, op.Client, op.Kind, op.From, op.Value, op.Outcome, op.Rev)
	}
	return b.String()
}
