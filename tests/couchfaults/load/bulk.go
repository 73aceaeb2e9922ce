package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"leap.example/tests/couchfaults/history"
)

// bulk writes several documents by one request: one that is fought over, and
// some that nobody else writes.
func (c *client) bulk(ctx context.Context, hot string) error {
	var ops []history.Op
	var docs []string
	for _, doc := range []string{hot, c.fresh(), c.fresh(), c.fresh()} {
		op, err := c.begin(ctx, doc)
		if err != nil {
			return err
		}
		ops = append(ops, op)
		docs = append(docs, c.body(op))
	}
	a := c.write(ctx, http.MethodPost, "/_bulk_docs", `{"docs":[`+strings.Join(docs, ",")+`]}`)
	if a.status != 0 {
		if err := settleAll(ops, a); err != nil {
			return err
		}
	}
	for _, op := range ops {
		c.end(op)
	}
	return nil
}

// settleAll notes the outcomes of writes of one request.
func settleAll(ops []history.Op, a answer) error {
	var rows []struct{ ID, Rev, Error, Reason string }
	if a.status != http.StatusCreated || json.Unmarshal(a.body, &rows) != nil || len(rows) != len(ops) {
		return fmt.Errorf("_bulk_docs: status %d: %s", a.status, a.body)
	}
	for i, row := range rows {
		switch {
		case row.ID != ops[i].Doc:
			return fmt.Errorf("_bulk_docs: row %d is of %s, not of %s", i, row.ID, ops[i].Doc)
		case row.Error == "conflict":
			ops[i].Outcome = history.Refused
		case row.Error == "forbidden" && row.Reason == unlawful:
			ops[i].Outcome = history.Illegal
		case row.Error == "" && row.Rev != "":
			ops[i].Outcome, ops[i].Rev = history.OK, row.Rev
		default:
			return fmt.Errorf("_bulk_docs: %s: %s: %s", row.ID, row.Error, row.Reason)
		}
	}
	return nil
}
