package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"leap.example/tests/couchfaults/history"
)

// run works until ctx ends. Its error is an answer that no fault excuses.
func (c *client) run(ctx context.Context) error {
	for ctx.Err() == nil {
		var err error
		hot := fmt.Sprintf("hot-%d", c.rng.IntN(c.opts.Hot))
		switch n := c.rng.IntN(100); {
		case n < 40:
			err = c.put(ctx, hot)
		case n < 48:
			err = c.remove(ctx, hot)
		case n < 65:
			err = c.read(ctx, hot, history.Fresh)
		case n < 74:
			err = c.read(ctx, hot, history.Stale)
		case n < 76:
			err = c.list(ctx)
		case n < 95:
			err = c.put(ctx, c.fresh())
		default:
			err = c.bulk(ctx, hot)
		}
		if err != nil {
			return err
		}
		c.pause(ctx, c.opts.Pace)
	}
	return nil
}

// fresh makes up a document that nobody else writes.
func (c *client) fresh() string {
	c.made++
	return fmt.Sprintf("own-%d-%d", c.id, c.made)
}

// begin returns a write of a document as this client knows it.
func (c *client) begin(ctx context.Context, doc string) (history.Op, error) {
	if _, ok := c.known[doc]; !ok && !strings.HasPrefix(doc, "own") {
		if err := c.read(ctx, doc, history.Fresh); err != nil {
			return history.Op{}, err
		}
	}
	return history.Op{
		Client: c.id, Doc: doc, Kind: history.Write, From: c.known[doc].value, Value: c.next(),
		Outcome: history.Unknown, Law: c.keeps(), Call: c.log.Now(),
	}, nil
}

// end enters a write into the history.
func (c *client) end(op history.Op) {
	op.Return = c.log.Now()
	delete(c.known, op.Doc)
	if op.Outcome == history.OK {
		k := known{op.Value, op.Rev}
		if strings.HasPrefix(op.Value, history.Tombstone) {
			k = known{}
		}
		c.known[op.Doc] = k
	}
	c.log.Add(op)
}

// put creates a document or edits it.
func (c *client) put(ctx context.Context, doc string) error {
	op, err := c.begin(ctx, doc)
	if err != nil {
		return err
	}
	return c.send(ctx, op, http.MethodPut, "/"+doc, c.body(op))
}

// remove deletes a document, if this client knows one. Every law allows that.
func (c *client) remove(ctx context.Context, doc string) error {
	op, err := c.begin(ctx, doc)
	if err != nil || op.From == history.Missing {
		return err
	}
	return c.erase(ctx, op, history.Always)
}

// erase deletes a document that is known.
func (c *client) erase(ctx context.Context, op history.Op, law int) error {
	op.Value, op.Law = history.Tombstone+op.Value, law
	return c.send(ctx, op, http.MethodDelete, "/"+op.Doc+"?rev="+c.known[op.Doc].rev, "")
}

// send sends a write of one document and enters what came of it into the history.
func (c *client) send(ctx context.Context, op history.Op, method, path, body string) error {
	a := c.write(ctx, method, path, body)
	if err := settle(&op, a); err != nil {
		return err
	}
	c.end(op)
	return nil
}

// body returns the document that a write makes.
func (c *client) body(op history.Op) string {
	return fmt.Sprintf(`{"_id":%q%s,"value":%q,"law":%d,"filling":%q}`, op.Doc, c.rev(op.Doc), op.Value, op.Law, filling[:c.rng.IntN(len(filling))])
}

// rev is the member that names the revision to edit, if there is one.
func (c *client) rev(doc string) string {
	if r := c.known[doc].rev; r != "" {
		return fmt.Sprintf(`,"_rev":%q`, r)
	}
	return ""
}

// filling makes bodies as long as those of small documents.
var filling = strings.Repeat("what sealed mail would be ", 40)

// settle notes the outcome of a write. An error is an answer that no fault
// excuses.
func settle(op *history.Op, a answer) error {
	switch a.status {
	case 0:
		return nil
	case http.StatusOK, http.StatusCreated, http.StatusAccepted:
		var v struct{ Rev string }
		if err := json.Unmarshal(a.body, &v); err != nil || v.Rev == "" {
			return fmt.Errorf("answer to a write of %s: %s", op.Doc, a.body)
		}
		op.Outcome, op.Rev = history.OK, v.Rev
	case http.StatusForbidden:
		var v struct{ Reason string }
		if err := json.Unmarshal(a.body, &v); err != nil || v.Reason != unlawful {
			return fmt.Errorf("a write of %s: forbidden: %s", op.Doc, a.body)
		}
		op.Outcome = history.Illegal
	case http.StatusConflict, http.StatusNotFound:
		if a.status == http.StatusNotFound && !strings.HasPrefix(op.Value, history.Tombstone) {
			return fmt.Errorf("a write of %s: the database is gone: %s", op.Doc, a.body)
		}
		op.Outcome = history.Refused
	default:
		return fmt.Errorf("a write of %s: status %d: %s", op.Doc, a.status, a.body)
	}
	return nil
}

// read reads a document. One that sees everything tells the client what to
// edit.
func (c *client) read(ctx context.Context, doc string, kind history.Kind) error {
	path := "/" + doc
	if kind == history.Fresh {
		path += "?r=2"
	}
	op := history.Op{Client: c.id, Doc: doc, Kind: kind, Outcome: history.Unknown, Call: c.log.Now()}
	a := c.ask(ctx, http.MethodGet, path, "")
	var v struct {
		Rev    string `json:"_rev"`
		Value  string `json:"value"`
		Reason string `json:"reason"`
	}
	if a.status != 0 && json.Unmarshal(a.body, &v) != nil {
		return fmt.Errorf("reading %s: %s", doc, a.body)
	}
	k := known{v.Value, v.Rev}
	switch {
	case a.status == 0:
		return nil
	case a.status == http.StatusOK && v.Value != "":
		op.Value = v.Value
	case a.status == http.StatusNotFound && v.Reason == "missing":
		op.Value = history.Missing
	case a.status == http.StatusNotFound && v.Reason == "deleted":
		op.Value = history.Tombstone
	default:
		return fmt.Errorf("reading %s: status %d: %s", doc, a.status, a.body)
	}
	op.Outcome, op.Return = history.OK, c.log.Now()
	c.log.Add(op)
	if kind == history.Fresh {
		c.known[doc] = k
	}
	return nil
}
