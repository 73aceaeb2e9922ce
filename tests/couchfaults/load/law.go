package load

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"leap.example/tests/couchfaults/history"
)

// lawPace is the time between two laws, on average.
const lawPace = 250 * time.Millisecond

// unlawful is why documents are refused that a law is against.
const unlawful = "unlawful"

// LawBody returns the design document that is law number n, and that has a view
// "ids" of all documents. member is a further one, with a comma in front.
func LawBody(n int, member string) string {
	return fmt.Sprintf(`{"validate_doc_update":"function (doc) { if (doc.law < %d) throw({forbidden: '%s'}); }",`+
		`"views":{"ids":{"map":"function (doc) { emit(doc._id, null); }"}}%s}`, n, unlawful, member)
}

// legislate makes laws until ctx ends, each one stricter than all before. Now and
// then it takes the last one back.
func (c *client) legislate(ctx context.Context) error {
	for ctx.Err() == nil {
		op, err := c.begin(ctx, history.Law)
		if err != nil {
			return err
		}
		if op.From != history.Missing && c.rng.IntN(3) == 0 {
			err = c.erase(ctx, op, 0)
		} else {
			op.Law = int(c.law.Add(1))
			member := fmt.Sprintf(`,"value":%q%s`, op.Value, c.rev(op.Doc))
			err = c.send(ctx, op, http.MethodPut, "/"+op.Doc, LawBody(op.Law, member))
		}
		if err != nil {
			return err
		}
		c.pause(ctx, lawPace)
	}
	return nil
}

// keeps makes up which laws a write keeps: mostly all, sometimes not the last one.
func (c *client) keeps() int {
	if last := int(c.law.Load()); last > 0 && c.rng.IntN(4) == 0 {
		return last - c.rng.IntN(2)
	}
	return history.Always
}
