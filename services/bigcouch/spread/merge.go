package spread

import "iter"

// Merge returns the elements of several sources, of which each is in order, in
// one order. before reports whether a comes before b. A source returns false
// behind its last element. Of elements that are equal those of the first source
// come first. An error is the last that is returned.
func Merge[T any](sources []func() (T, bool, error), before func(a, b T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		type head struct {
			next  func() (T, bool, error)
			first T
		}
		var heads []*head
		for _, next := range sources {
			first, ok, err := next()
			if err != nil {
				yield(first, err)
				return
			}
			if ok {
				heads = append(heads, &head{next, first})
			}
		}
		for len(heads) > 0 {
			least := 0
			for i := 1; i < len(heads); i++ {
				if before(heads[i].first, heads[least].first) {
					least = i
				}
			}
			h := heads[least]
			if !yield(h.first, nil) {
				return
			}
			var ok bool
			var err error
			if h.first, ok, err = h.next(); err != nil {
				yield(h.first, err)
				return
			}
			if !ok {
				heads = append(heads[:least], heads[least+1:]...)
			}
		}
	}
}
