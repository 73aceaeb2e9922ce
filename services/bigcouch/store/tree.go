package store

import (
	"slices"
	"sort"
)

// A Tree is the revisions of a document that are known, ordered by generation
// and hash. Merging is commutative: the same revisions make the same tree,
// whatever the order of their arrival.
type Tree []Node

// A Node is one revision in a Tree.
type Node struct {
	Rev     Rev
	parent  string // id of the parent, one generation below; "" if not known.
	Leaf    bool   // Has no children. Only leaves have bodies.
	Deleted bool   // Of a leaf: a tombstone.
}

// find returns the position of r, or -1.
func (t Tree) find(r Rev) int {
	i := sort.Search(len(t), func(i int) bool { return t[i].Rev.compare(r) >= 0 })
	if i < len(t) && t[i].Rev == r {
		return i
	}
	return -1
}

// Node returns the node of r.
func (t Tree) Node(r Rev) (Node, bool) {
	if i := t.find(r); i >= 0 {
		return t[i], true
	}
	return Node{}, false
}

// Leaves returns the leaves, the winner first: live before deleted, then the
// higher generation, then the higher hash.
func (t Tree) Leaves() []Node {
	var leaves []Node
	for _, n := range slices.Backward(t) {
		if n.Leaf {
			leaves = append(leaves, n)
		}
	}
	slices.SortStableFunc(leaves, func(a, b Node) int {
		switch {
		case a.Deleted == b.Deleted:
			return 0
		case a.Deleted:
			return 1
		}
		return -1
	})
	return leaves
}

// winner returns the winning leaf of a tree that is not empty.
func (t Tree) winner() Node {
	var w Node
	for _, n := range slices.Backward(t) {
		if !n.Leaf {
			continue
		}
		if !n.Deleted {
			return n
		}
		if w.Rev.IsZero() {
			w = n
		}
	}
	return w
}

// Path returns r and its known ancestors, newest first.
func (t Tree) Path(r Rev) []Rev {
	var path []Rev
	for i := t.find(r); i >= 0; i = t.find(r) {
		path = append(path, r)
		if t[i].parent == "" {
			break
		}
		r = Rev{r.Gen - 1, t[i].parent}
	}
	return path
}

// LeavesFrom returns the leaves that descend from r, or are r, the winner
// first.
func (t Tree) LeavesFrom(r Rev) []Node {
	return slices.DeleteFunc(t.Leaves(), func(n Node) bool {
		return n.Rev.Gen < r.Gen || !slices.Contains(t.Path(n.Rev), r)
	})
}

// merge adds a path of revisions, newest first, whose generations fall by one,
// and forgets ancestors further than limit from every leaf. It returns the new
// tree, whether the newest is a new leaf, and the former leaves that it
// continues. t is not changed.
func (t Tree) merge(path []Rev, deleted bool, limit int) (merged Tree, added bool, covered []Rev) {
	t = slices.Clone(t)
	var fresh []Node
	for i, r := range path {
		parent := ""
		if i+1 < len(path) {
			parent = path[i+1].id
		}
		at := t.find(r)
		if at < 0 {
			fresh = append(fresh, Node{Rev: r, parent: parent, Leaf: i == 0, Deleted: i == 0 && deleted})
			continue
		}
		if i > 0 && t[at].Leaf {
			t[at].Leaf, t[at].Deleted = false, false
			covered = append(covered, r)
		}
		if t[at].parent == "" {
			t[at].parent = parent
		}
		if t[at].parent != parent {
			break // Two histories for one revision: the first that came stays.
		}
	}
	if len(fresh) == 0 {
		return t, false, covered
	}
	added = fresh[0].Rev == path[0]
	t = append(t, fresh...)
	slices.SortFunc(t, func(a, b Node) int { return a.Rev.compare(b.Rev) })
	return t.stem(limit), added, covered
}

// stem drops what is limit or more generations above every leaf below it.
func (t Tree) stem(limit int) Tree {
	if len(t) <= limit {
		return t
	}
	parent := make([]int, len(t))
	stay := make([]int, len(t)) // How many nodes, from this one upwards, may stay.
	for i, n := range slices.Backward(t) {
		parent[i] = -1
		if n.parent != "" {
			parent[i] = t.find(Rev{n.Rev.Gen - 1, n.parent})
		}
		if n.Leaf {
			stay[i] = limit
		}
		if p := parent[i]; p >= 0 {
			stay[p] = max(stay[p], stay[i]-1)
		}
	}
	kept := make(Tree, 0, len(t))
	for i, n := range t {
		if stay[i] < 1 {
			continue
		}
		if p := parent[i]; p < 0 || stay[p] < 1 {
			n.parent = ""
		}
		kept = append(kept, n)
	}
	return kept
}
