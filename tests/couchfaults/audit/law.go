package audit

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"leap.example/tests/couchfaults/history"
	"leap.example/tests/couchfaults/lab"
	"leap.example/tests/couchfaults/load"
)

// Ruled makes a last law, stricter than number n, and returns an error unless
// every node obeys it at once in every part of the database, and shows all
// documents in the law's view. A node may have to notice first that its disk has
// space again.
func (a *Auditor) Ruled(ctx context.Context, db string, n int, patience time.Duration) error {
	err := lab.Poll(ctx, "a last law", patience, func() error { return a.rule(ctx, db, n+1) })
	if err != nil {
		return err
	}
	for i, node := range a.URLs {
		if err := a.obeys(ctx, node, db, n, patience); err != nil {
			return fmt.Errorf("node %d, law %d: %w", i, n+1, err)
		}
	}
	for i, node := range a.URLs {
		if err := a.viewed(ctx, node, db); err != nil {
			return fmt.Errorf("node %d: %w", i, err)
		}
	}
	return nil
}

// rule makes a law.
func (a *Auditor) rule(ctx context.Context, db string, n int) error {
	var old struct {
		Rev string `json:"_rev"`
	}
	member := ""
	switch status, err := a.Do(ctx, http.MethodGet, a.URLs[0], "/"+db+"/"+history.Law+"?r=2", "", &old); {
	case err == nil:
		member = fmt.Sprintf(`,"_rev":%q`, old.Rev)
	case status != http.StatusNotFound:
		return err
	}
	_, err := a.Do(ctx, http.MethodPut, a.URLs[0], "/"+db+"/"+history.Law, load.LawBody(n, member), nil)
	return err
}

// obeys writes into each part what no law above n allows, and wants it refused.
func (a *Auditor) obeys(ctx context.Context, node, db string, n int, patience time.Duration) error {
	var parts struct{ Shards map[string][]string }
	if _, err := a.Do(ctx, http.MethodGet, node, "/"+db+"/_shards", "", &parts); err != nil {
		return err
	}
	met := map[string]bool{}
	for i := 0; len(met) < len(parts.Shards); i++ {
		id := fmt.Sprintf("ruled-%d", i)
		var part struct{ Range string }
		if _, err := a.Do(ctx, http.MethodGet, node, "/"+db+"/_shards/"+id, "", &part); err != nil {
			return err
		}
		if met[part.Range] {
			continue
		}
		met[part.Range] = true
		status := 0
		err := lab.Poll(ctx, "an answer to a write", patience, func() (err error) {
			status, err = a.Do(ctx, http.MethodPut, node, "/"+db+"/"+id, fmt.Sprintf(`{"law":%d}`, n), nil)
			if status > 0 && status < 500 {
				return nil
			}
			return err
		})
		if err == nil && status != http.StatusForbidden {
			err = fmt.Errorf("part %s: status %d for an unlawful document", part.Range, status)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// viewed compares the view of all documents with the list of them.
func (a *Auditor) viewed(ctx context.Context, node, db string) error {
	var lists [2][]string
	for i, path := range []string{"/_all_docs", "/" + history.Law + "/_view/ids"} {
		var all struct{ Rows []struct{ ID string } }
		if _, err := a.Do(ctx, http.MethodGet, node, "/"+db+path, "", &all); err != nil {
			return err
		}
		for _, row := range all.Rows {
			if row.ID != history.Law { // Views have no design documents.
				lists[i] = append(lists[i], row.ID)
			}
		}
		slices.Sort(lists[i])
	}
	if !slices.Equal(lists[0], lists[1]) {
		return fmt.Errorf("%d documents, %d rows of their view", len(lists[0]), len(lists[1]))
	}
	return nil
}
