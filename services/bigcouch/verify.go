package bigcouch

import (
	"context"
	"errors"
	"log/slog"

	"leap.example/services/bigcouch/store"
)

// Verify reads the whole store of a stopped node, or a checkpoint that cfg.Dir
// names, and reports what is wrong with it. It changes nothing. progress may be
// nil.
func Verify(ctx context.Context, cfg Config, progress func(rows int), log *slog.Logger) (*store.Report, error) {
	st, _, err := openStopped(cfg, log, store.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	r, err := st.Verify(ctx, progress)
	return r, errors.Join(err, st.Close())
}
