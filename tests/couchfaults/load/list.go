package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"leap.example/tests/couchfaults/history"
)

// list reads which documents there are, from some id on.
func (c *client) list(ctx context.Context) error {
	l := history.List{
		Client: c.id, Kind: history.Stale, From: fmt.Sprintf("own-%d-%d", c.rng.IntN(c.opts.Clients), c.rng.IntN(c.made+1)),
		Limit: 1 + c.rng.IntN(100), Descending: c.rng.IntN(2) == 0, Call: c.log.Now(),
	}
	var header []string
	if c.rng.IntN(2) == 0 {
		l.Kind, header = history.Fresh, []string{"X-Leap-Fresh", "true"}
	}
	q := url.Values{
		"startkey": {fmt.Sprintf("%q", l.From)}, "limit": {fmt.Sprint(l.Limit)}, "descending": {fmt.Sprint(l.Descending)},
	}
	a := c.ask(ctx, http.MethodGet, "/_all_docs?"+q.Encode(), "", header...)
	var all struct{ Rows []struct{ ID string } }
	if a.status == 0 {
		return nil
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &all) != nil || len(all.Rows) > l.Limit {
		return fmt.Errorf("listing documents: status %d: %s", a.status, a.body)
	}
	for _, row := range all.Rows {
		l.IDs = append(l.IDs, row.ID)
	}
	l.Return = c.log.Now()
	c.log.AddList(l)
	return nil
}
