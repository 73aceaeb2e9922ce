// Package history records what clients of a database asked for and were told,
// and judges it.
//
// A document is a register with compare-and-set: a write names the value that
// it replaces and the value that it makes, and every value is written once.
// The judgement knows nothing of revisions, nodes or faults: it takes the
// clients' word for what was acknowledged, and nobody else's.
package history

import (
	"strings"
	"sync"
	"time"
)

// A Kind is what an operation does.
type Kind string

// Kinds.
const (
	Write Kind = "write"
	Fresh Kind = "fresh read" // Sees every write that was acknowledged before it.
	Stale Kind = "stale read" // Sees some state that there was.
)

// An Outcome is what the client knows in the end.
type Outcome string

// Outcomes.
const (
	OK      Outcome = "ok"      // Of a write: it is durable. Of a read: Value is what was seen.
	Refused Outcome = "refused" // The document was not as the writer thought. Nothing was written.
	Illegal Outcome = "illegal" // A law was against it. Nothing was written.
	Unknown Outcome = "unknown" // It was done, or not, or will be.
)

// Missing is the value of a document that never was. Values of tombstones
// begin with Tombstone.
const (
	Missing   = ""
	Tombstone = "-"
)

// An Op is one operation. Times are since the history began.
type Op struct {
	Client  int
	Doc     string
	Kind    Kind
	From    string // Of a write: the value that it replaces; Missing: the document is not there, or deleted.
	Value   string // Of a write: what it makes. Of a read: what it saw; Tombstone for any.
	Outcome Outcome
	Law     int    // Of a write of Law: its number; 0: there is none from then on. Of any other write: the highest that allows it.
	Rev     string // Of a write that was acknowledged.
	Call    time.Duration
	Return  time.Duration // Of an unknown write: meaningless.
}

// A Log collects operations and lists. It may be used from any goroutine.
type Log struct {
	start time.Time

	mu    sync.Mutex // Guards what follows.
	ops   []Op
	lists []List
}

// NewLog returns an empty log, whose time begins now.
func NewLog() *Log { return &Log{start: time.Now()} }

// Now returns the time of the log.
func (l *Log) Now() time.Duration { return time.Since(l.start) }

// Add enters operations.
func (l *Log) Add(ops ...Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ops = append(l.ops, ops...)
}

// Ops returns what was entered.
func (l *Log) Ops() []Op {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Op(nil), l.ops...)
}

// AddList enters a list.
func (l *Log) AddList(list List) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lists = append(l.lists, list)
}

// Lists returns the lists that were entered.
func (l *Log) Lists() []List {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]List(nil), l.lists...)
}

// Gap returns the longest time between two acknowledged writes that began
// before until and ended after from.
func (l *Log) Gap(from, until time.Duration) time.Duration {
	var acks []time.Duration
	for _, op := range l.Ops() {
		if op.Kind == Write && op.Outcome == OK {
			acks = append(acks, op.Return)
		}
	}
	return gap(acks, from, until)
}

// absent reports whether a value is that of a document that one can create.
func absent(value string) bool { return value == Missing || strings.HasPrefix(value, Tombstone) }
