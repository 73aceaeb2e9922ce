package audit

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"

	"leap.example/tests/couchfaults/load"
)

// Resumed returns an error unless whoever goes on from row i of a feed, whose
// rows are all there will be, is shown the last row of every document that comes
// later, and no other. He asks for pages of that size, each of another node.
func (a *Auditor) Resumed(ctx context.Context, db string, rows []load.Row, i, size int) error {
	last := map[string]int{}
	for k, row := range rows {
		last[row.ID] = k
	}
	want := map[string]string{}
	for id, k := range last {
		if k > i {
			want[id] = rows[k].Rev
		}
	}
	found := map[string]string{}
	since := rows[i].Seq
	for n := i; ; n++ {
		var page struct {
			Results []struct {
				ID      string
				Changes []struct{ Rev string }
			}
			Last string `json:"last_seq"`
		}
		q := url.Values{"since": {since}, "limit": {fmt.Sprint(size)}}
		if _, err := a.Do(ctx, http.MethodGet, a.URLs[n%len(a.URLs)], "/"+db+"/_changes?"+q.Encode(), "", &page); err != nil {
			return err
		}
		for _, row := range page.Results {
			if _, again := found[row.ID]; again || len(row.Changes) == 0 {
				return fmt.Errorf("changes since %s: a row of %s that was there, or is none", rows[i].Seq, row.ID)
			}
			found[row.ID] = row.Changes[0].Rev
		}
		if len(page.Results) < size {
			break
		}
		since = page.Last
	}
	if !maps.Equal(found, want) {
		return fmt.Errorf("changes since %s: %d documents, and %d have changed since", rows[i].Seq, len(found), len(want))
	}
	return nil
}
