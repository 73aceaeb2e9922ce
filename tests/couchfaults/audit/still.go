package audit

import (
	"context"
	"net/http"
	"slices"
)

// tries is how often something is judged anew because of late writes.
const tries = 10

// Still returns what judge says of a database that stands still. A write whose
// client has gone may be done late: what is wrong while something is written
// counts for nothing, and judge is asked again.
func (a *Auditor) Still(ctx context.Context, db string, judge func() error) error {
	for n := 1; ; n++ {
		before, err := a.sequences(ctx, db)
		if err != nil {
			return err
		}
		wrong := judge()
		if wrong == nil || n == tries {
			return wrong
		}
		after, err := a.sequences(ctx, db)
		if err != nil || slices.Equal(before, after) {
			return wrong
		}
	}
}

// sequences returns how far a database is, as each node sees it.
func (a *Auditor) sequences(ctx context.Context, db string) (seqs []string, err error) {
	for _, node := range a.URLs {
		var info struct {
			Seq string `json:"update_seq"`
		}
		if _, err := a.Do(ctx, http.MethodGet, node, "/"+db, "", &info); err != nil {
			return nil, err
		}
		seqs = append(seqs, info.Seq)
	}
	return seqs, nil
}
