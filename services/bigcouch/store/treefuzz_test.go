package store

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// historyOf makes a tree of edits of bytes: each is the parent of another
// revision, or says that it has none.
func historyOf(data []byte) (h history) {
	for i, b := range data {
		var ancestors []Rev
		if int(b) < len(h) {
			ancestors = h[b]
		}
		r, err := MakeRev(len(ancestors)+1, fmt.Sprintf("%032x", i*7919%65521))
		if err == nil {
			h = append(h, append([]Rev{r}, ancestors...))
		}
	}
	return h
}

// Merging is commutative, associative and idempotent: paths make the same tree
// in any order, in any groups, and again. Purging takes back what was merged.
func FuzzMerge(f *testing.F) {
	for _, s := range []string{"", "\xff", "\xff\x00\x01\x02", "\xff\x00\x00\x00\x01\x02\x03", "\xff\xff\x00\x01\x00\x01\x04\x04"} {
		f.Add([]byte(s), uint(3))
	}
	same := cmp.AllowUnexported(Node{}, Rev{})
	f.Fuzz(func(t *testing.T, data []byte, split uint) {
		h := historyOf(data[:min(len(data), 60)])
		if len(h) == 0 {
			return
		}
		want := h.tree(1000)
		at := int(split % uint(len(h)))
		turned := slices.Concat(h[at:], h[:at]) // A rotation, and the other way round.
		back := slices.Clone(h)
		slices.Reverse(back)
		for _, other := range []history{turned, back} {
			if diff := cmp.Diff(want, other.tree(1000), same); diff != "" {
				t.Fatalf("another order (-first +other):\n%s", diff)
			}
		}
		again := want
		for _, path := range h {
			var added bool
			var covered []Rev
			if again, added, covered = again.merge(path, dead(path[0]), 1000); added || covered != nil {
				t.Fatalf("%v is new the second time: %v", path[0], covered)
			}
		}
		if diff := cmp.Diff(want, again, same); diff != "" {
			t.Fatalf("merged twice (-once +twice):\n%s", diff)
		}
		// What is left after a purge is the tree of the other leaves.
		var gone []Rev
		var rest history
		for i, n := range want.Leaves() {
			if i%2 == at%2 {
				gone = append(gone, n.Rev)
				continue
			}
			rest = append(rest, want.Path(n.Rev))
		}
		purged, were := want.without(gone)
		if len(were) != len(gone) {
			t.Fatalf("purged %v, asked for %v", were, gone)
		}
		if diff := cmp.Diff(rest.tree(1000), purged, same); diff != "" {
			t.Fatalf("after a purge (-tree of the rest +purged):\n%s", diff)
		}
	})
}
