package bigcouch

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"leap.example/services/bigcouch/group"
	"leap.example/services/bigcouch/store"
)

// A Promise is that of a stopped node to a founder of a shard that it has nothing
// of.
type Promise struct {
	Shard uint16 `json:"shard"`
	To    string `json:"to"` // NODE@STORE.
}

// Promises returns those of a stopped node that are open.
func Promises(cfg Config, log *slog.Logger) ([]Promise, error) {
	return promises(cfg, log, store.Options{ReadOnly: true}, func(*store.Store, []Promise) error { return nil })
}

// Release takes promises of a stopped node back, of all shards if none is named.
// Whom they were given must be gone for good, with his disk: what he may have
// founded goes on nowhere.
func Release(cfg Config, only []uint16, log *slog.Logger) (released []Promise, err error) {
	_, err = promises(cfg, log, store.Options{}, func(st *store.Store, open []Promise) error {
		for _, n := range only {
			if !slices.ContainsFunc(open, func(p Promise) bool { return p.Shard == n }) {
				return fmt.Errorf("shard %d is promised to nobody, or there is something of it here", n)
			}
		}
		for _, p := range open {
			if len(only) > 0 && !slices.Contains(only, p.Shard) {
				continue
			}
			if err := group.Release(st, p.Shard); err != nil {
				return err
			}
			released = append(released, p)
		}
		return nil
	})
	return released, err
}

// promises opens the store of a node that is stopped, and calls f with those that
// are open.
func promises(cfg Config, log *slog.Logger, o store.Options, f func(*store.Store, []Promise) error) (open []Promise, err error) {
	if cfg.Cluster == nil {
		return nil, errors.New("a node by itself has promised nothing")
	}
	st, cfg, err := openStopped(cfg, log, o)
	if err != nil {
		return nil, err
	}
	for n := range uint16(len(cfg.Cluster.Placement)) {
		to, e := group.Promised(st, n)
		if err = errors.Join(err, e); to != "" {
			open = append(open, Promise{n, to})
		}
	}
	if err == nil {
		err = f(st, open)
	}
	return open, errors.Join(err, st.Close())
}
