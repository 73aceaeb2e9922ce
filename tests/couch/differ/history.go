package differ

import (
	"context"
	"fmt"
)

// A Pair is the two servers that are compared.
type Pair struct {
	judge *Judge
	ours  *side
	other *side
	n     int
}

// NewPair returns a pair: the URL of a database node with an administrator's
// password, the URL of another implementation, and a function that waits until
// the latter is there again after a request has ended its process.
func NewPair(j *Judge, ours, other string, wait func(context.Context) error) *Pair {
	return &Pair{judge: j, ours: newSide("ours", ours, func(context.Context) error { return nil }), other: newSide("theirs", other, wait)}
}

// Close closes idle connections.
func (p *Pair) Close() {
	p.ours.hc.CloseIdleConnections()
	p.other.hc.CloseIdleConnections()
}

// Play sends a history to an empty database of each server, up to a request
// after which they may not be the same any more. Its error tells of the first
// difference that is not excused. It returns how many answers were compared.
func (p *Pair) Play(ctx context.Context, history []Request) (compared int, err error) {
	p.n++
	name := fmt.Sprintf("differ-%d", p.n)
	for _, s := range []*side{p.ours, p.other} {
		if err := s.begin(ctx, name); err != nil {
			return 0, err
		}
		defer func() { _ = s.end(ctx) }() // The next history has a name of its own.
	}
	for i, r := range history {
		x, err := p.ours.do(ctx, r)
		if err != nil {
			return i, err
		}
		y, err := p.other.do(ctx, r)
		if err != nil {
			return i, err
		}
		same, ends := p.judge.Compare(r, x, y)
		if !same {
			return i, fmt.Errorf("%s: %v\n  ours: %v\ntheirs: %v", r.Kind, r, x, y)
		}
		if ends {
			return i + 1, nil
		}
	}
	return len(history), nil
}

// Excuses returns the differences that are known.
func Excuses() []Excuse { return excuses }
