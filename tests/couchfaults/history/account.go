package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Chain is a document as it is in the end: the revisions of its only leaf,
// newest first. Stemmed says that there may have been older ones.
type Chain struct {
	Revs    []string
	Stemmed bool
}

// Lost returns the acknowledged writes that the documents do not hold.
func Lost(ops []Op, docs map[string]Chain) []Op {
	var lost []Op
	for _, op := range ops {
		if op.Kind == Write && op.Outcome == OK && !docs[op.Doc].holds(op.Rev) {
			lost = append(lost, op)
		}
	}
	return lost
}

func (c Chain) holds(rev string) bool {
	if slices.Contains(c.Revs, rev) {
		return true
	}
	return c.Stemmed && generation(rev) < generation(c.Revs[len(c.Revs)-1])
}

// generation returns the number before the dash.
func generation(rev string) (n int) {
	fmt.Sscanf(rev, "%d-", &n) // 0 of nonsense.
	return n
}

// MadeUp returns reads that saw what nobody had written by then.
func MadeUp(ops []Op) []Op {
	type value struct{ doc, value string }
	written := map[value]time.Duration{}
	for _, op := range ops {
		if op.Kind == Write {
			written[value{op.Doc, op.Value}] = op.Call
		}
	}
	var wrong []Op
	for _, op := range ops {
		if op.Kind == Write || op.Outcome != OK || op.Value == Missing || strings.HasPrefix(op.Value, Tombstone) {
			continue
		}
		if at, ok := written[value{op.Doc, op.Value}]; !ok || at > op.Return {
			wrong = append(wrong, op)
		}
	}
	return wrong
}

// Acknowledged returns how many writes were.
func Acknowledged(ops []Op) (n int) {
	for _, op := range ops {
		if op.Kind == Write && op.Outcome == OK {
			n++
		}
	}
	return n
}

// Answered returns how many writes were acknowledged or refused: how many
// entries of a log there are for them, if each is a request of its own.
func Answered(ops []Op) (n int) {
	for _, op := range ops {
		if op.Kind == Write && (op.Outcome == OK || op.Outcome == Refused) {
			n++
		}
	}
	return n
}
