package check

import (
	"context"
	"slices"
)

// Use has an account that is logged in be used, by nodes that all have a Dial.
func Use(ctx context.Context, targets []Target, o Options, id, token string) []Result {
	c := &checker{Options: o, Target: targets[0], all: slices.Clone(targets)}
	a := &account{login: testLogin + "x", domain: c.domain(), id: id, token: token}
	c.storage(ctx, a)
	c.post(ctx, a)
	return c.list
}
