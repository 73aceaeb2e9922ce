package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func mustRev(t interface{ Fatal(...any) }, s string) Rev {
	r, err := ParseRev(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A history is a random tree of edits: path to each revision, newest first.
type history [][]Rev

func drawHistory(t *rapid.T) history {
	var h history
	n := rapid.IntRange(1, 30).Draw(t, "edits")
	for i := range n {
		var ancestors []Rev
		if len(h) > 0 && rapid.IntRange(0, 9).Draw(t, "root") > 0 {
			ancestors = h[rapid.IntRange(0, len(h)-1).Draw(t, "parent")]
		}
		text := fmt.Sprintf("%032x", rapid.Uint32().Draw(t, "hash"))
		if i%5 == 4 {
			text = fmt.Sprintf("text%d", i)
		}
		r, err := MakeRev(len(ancestors)+1, text)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(h, func(p []Rev) bool { return p[0] == r }) {
			continue
		}
		h = append(h, append([]Rev{r}, ancestors...))
	}
	return h
}

// dead says which revisions are tombstones: a property of the revision.
func dead(r Rev) bool { return r.Hash()[len(r.Hash())-1]%3 == 0 }

func (h history) tree(limit int) Tree {
	var t Tree
	for _, path := range h {
		if _, known := t.Node(path[0]); !known {
			t, _, _ = t.merge(path, dead(path[0]), limit)
		}
	}
	return t
}

// The order in which revisions arrive does not matter.
func TestMergeInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		want := h.tree(1000)
		seed := rapid.Uint64().Draw(t, "seed")
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(h), func(i, j int) { h[i], h[j] = h[j], h[i] })
		got := h.tree(1000)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(Node{}, Rev{})); diff != "" {
			t.Fatalf("trees differ (-first +shuffled):\n%s", diff)
		}
		if len(got) > 0 && got.winner() != got.Leaves()[0] {
			t.Fatalf("winner = %v, first leaf %v", got.winner(), got.Leaves()[0])
		}
	})
}

// A tree says of itself what a map of parents says.
func TestTreeModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		tree := h.tree(1000)
		parent := map[Rev]Rev{}
		isParent := map[Rev]bool{}
		for _, path := range h {
			for i, r := range path {
				if parent[r] = (Rev{}); i+1 < len(path) {
					parent[r] = path[i+1]
					isParent[path[i+1]] = true
				}
			}
		}
		if len(tree) != len(parent) {
			t.Fatalf("%d nodes, want %d", len(tree), len(parent))
		}
		var best Rev
		for r := range parent {
			n, ok := tree.Node(r)
			if !ok || n.Leaf == isParent[r] {
				t.Fatalf("%v: known %v, leaf %v; parent of another: %v", r, ok, n.Leaf, isParent[r])
			}
			var path []Rev
			for a := r; !a.IsZero(); a = parent[a] {
				path = append(path, a)
			}
			if got := tree.Path(r); !slices.Equal(got, path) {
				t.Fatalf("Path(%v) = %v, want %v", r, got, path)
			}
			if n.Leaf && (best.IsZero() || dead(best) && !dead(r) || dead(best) == dead(r) && r.compare(best) > 0) {
				best = r
			}
		}
		if w := tree.winner(); w.Rev != best {
			t.Fatalf("winner %v, want %v", w.Rev, best)
		}
		d := &Document{ID: "x", Seq: 7, Rev: tree.winner().Rev, Deleted: tree.winner().Deleted, tree: tree}
		back, err := parseDocument("x", string(d.encode()))
		if err != nil {
			t.Fatal(err)
		}
		got, err := back.Tree()
		if diff := cmp.Diff(tree, got, cmp.AllowUnexported(Node{}, Rev{})); err != nil || diff != "" {
			t.Fatalf("coded tree: %v\n%s", err, diff)
		}
	})
}

// Stemming keeps every leaf and the newest of its ancestors, and nothing else.
func TestStem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		whole := h.tree(1000)
		limit := rapid.IntRange(1, 6).Draw(t, "limit")
		stemmed := slices.Clone(whole).stem(limit)
		keep := map[Rev]bool{}
		for _, leaf := range whole.Leaves() {
			path := whole.Path(leaf.Rev)
			for _, r := range path[:min(limit, len(path))] {
				keep[r] = true
			}
		}
		if len(whole) > limit && len(stemmed) != len(keep) {
			t.Fatalf("%d nodes left, want %d", len(stemmed), len(keep))
		}
		for _, n := range stemmed {
			if len(whole) > limit && !keep[n.Rev] {
				t.Fatalf("%v is left", n.Rev)
			}
			if n.parent != "" && stemmed.find(Rev{n.Rev.Gen - 1, n.parent}) < 0 {
				t.Fatalf("%v has lost its parent", n.Rev)
			}
		}
		if whole.winner().Rev != stemmed.winner().Rev {
			t.Fatalf("winner %v became %v", whole.winner().Rev, stemmed.winner().Rev)
		}
	})
}

func TestParseRev(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"1-967a00dff5e02add41819138abb3284d", "1-967a00dff5e02add41819138abb3284d"},
		{"12-967A00DFF5E02ADD41819138ABB3284D", "12-967a00dff5e02add41819138abb3284d"},
		{"3-abc", "3-abc"},
		{"1-0123456789abcdef", "1-0123456789abcdef"},
		{"1-a-b", "1-a-b"},
		{"", ""},
		{"1", ""},
		{"-", ""},
		{"1-", ""},
		{"0-a", ""},
		{"-1-a", ""},
		{"+1-a", ""},
		{"1-a b", ""},
		{`1-"`, ""},
		{"1-é", ""},
		{"99999999999999999999-a", ""},
		{"x-1", ""},
	} {
		r, err := ParseRev(tt.in)
		if got := r.String(); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("ParseRev(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func FuzzParseRev(f *testing.F) {
	for _, s := range []string{"1-967a00dff5e02add41819138abb3284d", "3-abc", "1-a-b", "0-1", "-", "+1-a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRev(s)
		if err != nil {
			return
		}
		again, err := ParseRev(r.String())
		if err != nil || again != r {
			t.Fatalf("%q -> %q -> %v, %v", s, r, again, err)
		}
		if r.compare(again) != 0 {
			t.Fatalf("%v differs from itself", r)
		}
	})
}

func FuzzParseRows(f *testing.F) {
	h := history{{mustRev(f, "1-a")}, {mustRev(f, "2-967a00dff5e02add41819138abb3284d"), mustRev(f, "1-a")}}
	tree := h.tree(10)
	d := &Document{ID: "x", Seq: 7, Rev: tree.winner().Rev, tree: tree, inline: string(Body{JSON: []byte("{}"), Atts: []Att{{Name: "a"}}}.encode())}
	f.Add(d.encode())
	f.Add([]byte(d.inline))
	f.Fuzz(func(t *testing.T, data []byte) {
		if d, err := parseDocument("x", string(data)); err == nil {
			if _, err := d.Tree(); err == nil {
				_ = d.encode()
			}
		}
		if b, err := parseBody(string(data)); err == nil {
			if back, err := parseBody(string(b.encode())); err != nil || !cmp.Equal(b, back) {
				t.Fatalf("body %v came back as %v, %v", b, back, err)
			}
		}
	})
}
