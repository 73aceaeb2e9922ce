package provider

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Filter chooses nodes, as in leap_cli: its words are names of nodes,
// services, tags or environments. Nodes that one of the words is about are
// chosen, or all if there are no such words; of these, those that each word with
// a leading "+" is about.
type Filter struct {
	any, all []string
}

// ParseFilter reads the words of a filter.
func ParseFilter(words []string) (Filter, error) {
	var f Filter
	for _, w := range words {
		word, must := strings.CutPrefix(w, "+")
		if word == "" || strings.ContainsAny(word, "+ \t\n/") {
			return Filter{}, fmt.Errorf("%q is no word of a filter: write names of nodes, services, tags or environments, and a + before what all must have", w)
		}
		if must {
			f.all = append(f.all, word)
		} else {
			f.any = append(f.any, word)
		}
	}
	return f, nil
}

// String returns the words.
func (f Filter) String() string {
	words := slices.Clone(f.any)
	for _, w := range f.all {
		words = append(words, "+"+w)
	}
	return strings.Join(words, " ")
}

// matches reports whether a word is about a node.
func (n *Node) matches(word string) bool {
	return n.Name == word || n.Environment == word || slices.Contains(n.Services, word) || slices.Contains(n.Tags, word) || n.Has(word)
}

// Select returns the enabled nodes that a filter chooses, by name. Nodes that
// are not enabled are chosen too if disabled is set. A word
// that is about nothing is an error.
func (i *Instance) Select(f Filter, disabled bool) ([]*Node, error) {
	for _, w := range slices.Concat(f.any, f.all) {
		if !slices.ContainsFunc(i.Nodes, func(n *Node) bool { return n.matches(w) }) && !slices.Contains(KnownServices(), w) {
			return nil, fmt.Errorf("nothing here is called %q; there are %s", w, strings.Join(i.words(), ", "))
		}
	}
	var list []*Node
	for _, n := range i.Nodes {
		chosen := len(f.any) == 0 || slices.ContainsFunc(f.any, n.matches)
		for _, w := range f.all {
			chosen = chosen && n.matches(w)
		}
		if chosen && (n.IsEnabled() || disabled) {
			list = append(list, n)
		}
	}
	return list, nil
}

// words says what could be written.
func (i *Instance) words() []string {
	if list := i.Words(); len(list) > 0 {
		return list
	}
	return []string{"no nodes yet (leap node add)"}
}

// Words are all words that are about a node, sorted.
func (i *Instance) Words() []string {
	set := map[string]bool{}
	for _, n := range i.Nodes {
		for _, w := range slices.Concat([]string{n.Name, n.Environment}, n.Services, n.Tags) {
			set[w] = true
		}
	}
	delete(set, "")
	return slices.Sorted(maps.Keys(set))
}
