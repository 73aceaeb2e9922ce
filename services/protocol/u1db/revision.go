package u1db

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Limits of a revision: 4096 bytes of text, counters of at most 15 digits.
const (
	maxRevision = 4096
	maxDigits   = 15
)

// A Revision is a vector clock: for each replica that wrote a document, how
// often. The zero Revision is that of a document that nobody wrote. A Revision
// is immutable; its methods return new ones.
type Revision struct{ entries []tick }

type tick struct {
	uid string
	n   int
}

// ParseRevision parses "uid:n|uid2:m". There is one text for each clock:
// entries sorted by uid, no uid twice, counters from 1 without leading zero. A
// text in another form, also the empty one, is an ErrBadRequest.
func ParseRevision(s string) (Revision, error) {
	if len(s) > maxRevision {
		return Revision{}, fmt.Errorf("revision of %d bytes: %w", len(s), ErrBadRequest)
	}
	r := Revision{entries: make([]tick, 0, 1+strings.Count(s, "|"))}
	for part := range strings.SplitSeq(s, "|") {
		uid, count, _ := strings.Cut(part, ":")
		if !ValidReplica(uid) || !canonical(count) {
			return Revision{}, fmt.Errorf("revision entry %.80q: %w", part, ErrBadRequest)
		}
		if k := len(r.entries); k > 0 && r.entries[k-1].uid >= uid {
			return Revision{}, fmt.Errorf("revision %.80q is not sorted: %w", s, ErrBadRequest)
		}
		n, _ := strconv.Atoi(count) // canonical has checked it.
		r.entries = append(r.entries, tick{uid, n})
	}
	return r, nil
}

// canonical reports whether s is a decimal number from 1 in its only form.
func canonical(s string) bool {
	return s != "" && len(s) <= maxDigits && s[0] != '0' && strings.Trim(s, "0123456789") == ""
}

// String returns the canonical text; "" for the zero Revision.
func (r Revision) String() string {
	var b strings.Builder
	for i, e := range r.entries {
		if i > 0 {
			b.WriteByte('|')
		}
		b.WriteString(e.uid)
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(e.n))
	}
	return b.String()
}

// Get returns how often the replica uid wrote; 0 if it never did.
func (r Revision) Get(uid string) int {
	if i, ok := r.find(uid); ok {
		return r.entries[i].n
	}
	return 0
}

// All yields the replicas and their counters, sorted by uid.
func (r Revision) All() iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for _, e := range r.entries {
			if !yield(e.uid, e.n) {
				return
			}
		}
	}
}

func (r Revision) find(uid string) (int, bool) {
	return slices.BinarySearchFunc(r.entries, uid, func(e tick, uid string) int {
		return strings.Compare(e.uid, uid)
	})
}

// Next returns the revision of a change that the replica uid makes to a
// document of revision r. The uid must be a ValidReplica.
func (r Revision) Next(uid string) Revision {
	entries := slices.Clone(r.entries)
	if i, ok := r.find(uid); ok {
		entries[i].n++
	} else {
		entries = slices.Insert(entries, i, tick{uid, 1})
	}
	return Revision{entries}
}

// Merge returns the least revision that is not older than r and o.
func (r Revision) Merge(o Revision) Revision {
	out := make([]tick, 0, len(r.entries)+len(o.entries))
	a, b := r.entries, o.entries
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].uid < b[0].uid:
			out, a = append(out, a[0]), a[1:]
		case a[0].uid > b[0].uid:
			out, b = append(out, b[0]), b[1:]
		default:
			out = append(out, tick{a[0].uid, max(a[0].n, b[0].n)})
			a, b = a[1:], b[1:]
		}
	}
	return Revision{append(append(out, a...), b...)}
}

// Order says how a revision stands to another one.
type Order int

// The four answers of Compare.
const (
	Equal Order = iota
	Newer
	Older
	Concurrent
)

// String returns the order in lower case.
func (o Order) String() string {
	return [...]string{"equal", "newer", "older", "concurrent"}[o]
}

// Compare returns how r stands to o: Newer means that r has seen all that o
// has, and more.
func (r Revision) Compare(o Revision) Order {
	ahead, behind := r.leads(o), o.leads(r)
	switch {
	case ahead && behind:
		return Concurrent
	case ahead:
		return Newer
	case behind:
		return Older
	}
	return Equal
}

// leads reports whether r counts further than o for some replica.
func (r Revision) leads(o Revision) bool {
	for _, e := range r.entries {
		if e.n > o.Get(e.uid) {
			return true
		}
	}
	return false
}
