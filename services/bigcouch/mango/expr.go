package mango

// An expr is a normalised condition on a value.
type expr interface {
	match(v any) bool
}

// Match reports whether doc satisfies s. It does not change or keep doc.
func (s *Selector) Match(doc map[string]any) bool { return s.root.match(doc) }

type (
	all  []expr // Every one holds; true when empty.
	one  []expr // At least one holds; false when empty.
	self struct{ test }
	at   struct {
		field field
		test  test
	}
)

func (a all) match(v any) bool {
	for _, e := range a {
		if !e.match(v) {
			return false
		}
	}
	return true
}

func (o one) match(v any) bool {
	for _, e := range o {
		if e.match(v) {
			return true
		}
	}
	return false
}

func (a at) match(v any) bool {
	e, l := a.field.in(v)
	switch l {
	case found:
		return a.test.match(e)
	case missing:
		return a.test.op == "$exists" && !a.test.yes
	}
	return false
}

// requires reports whether everything that e matches has the field name.
func requires(e expr, name string) bool {
	switch e := e.(type) {
	case all:
		for _, sub := range e {
			if requires(sub, name) {
				return true
			}
		}
	case one:
		for _, sub := range e {
			if !requires(sub, name) {
				return false
			}
		}
		return len(e) > 0
	case at:
		return e.field.name == name && (e.test.op != "$exists" || e.test.yes)
	}
	return false
}
