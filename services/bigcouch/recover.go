package bigcouch

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"leap.example/services/bigcouch/group"
	"leap.example/services/bigcouch/store"
)

// A Remains is what a stopped node has of a shard.
type Remains struct {
	group.Remains
	Survivor string `json:"survivor"` // Who will hold it alone. Empty: this node, by itself.
}

// Recovered says what Recover has done.
type Recovered struct {
	Checkpoint string    `json:"checkpoint"` // Directory with the store as it was.
	Shards     []Remains `json:"shards"`     // As they were.
}

// Survey returns what a stopped node has of each shard, to choose the survivor of
// a lost majority by: the one with the highest last term, then the highest last
// index.
func Survey(cfg Config, log *slog.Logger) ([]Remains, error) {
	st, cfg, err := openStopped(cfg, log, store.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	list, err := remains(st, cfg)
	return list, errors.Join(err, st.Close())
}

// openStopped opens the store of a node that is stopped.
func openStopped(cfg Config, log *slog.Logger, o store.Options) (*store.Store, Config, error) {
	if err := cfg.Validate(); err != nil {
		return nil, cfg, err
	}
	cfg = cfg.withDefaults()
	fs, _, err := disk(nil, cfg)
	if err != nil {
		return nil, cfg, err
	}
	o.Dir, o.FS, o.CacheBytes, o.MemTableBytes, o.Log = cfg.Dir, fs, cfg.CacheBytes, cfg.MemTableBytes, log
	st, err := store.Open(o)
	return st, cfg, err
}

// remains returns what there is of each shard.
func remains(st *store.Store, cfg Config) (list []Remains, err error) {
	all, err := st.Shards()
	if err != nil {
		return nil, err
	}
	for _, n := range all {
		r, err := group.Survey(st, n)
		if err != nil {
			return nil, err
		}
		one := Remains{Remains: r}
		if cfg.Cluster != nil {
			one.Survivor = cfg.Cluster.Node
		}
		list = append(list, one)
	}
	return list, nil
}

// Recover makes a stopped node the only holder of shards whose majority is lost
// for good; of all that it has something of if none is named. What the others had
// acknowledged and this node has not is gone; what this node has in its logs
// counts, also what never had a majority. A copy of the store as it was stays in
// a checkpoint.
func Recover(cfg Config, only []uint16, log *slog.Logger) (*Recovered, error) {
	st, cfg, err := openStopped(cfg, log, store.Options{})
	if err != nil {
		return nil, err
	}
	done, err := recoverStore(st, cfg, only)
	return done, errors.Join(err, st.Close())
}

func recoverStore(st *store.Store, cfg Config, only []uint16) (*Recovered, error) {
	list, err := remains(st, cfg)
	if err != nil {
		return nil, err
	}
	if len(only) > 0 {
		for _, n := range only {
			if !slices.ContainsFunc(list, func(r Remains) bool { return r.Shard == n }) {
				return nil, fmt.Errorf("this node has nothing of shard %d", n)
			}
		}
		list = slices.DeleteFunc(list, func(r Remains) bool { return !slices.Contains(only, r.Shard) })
		if cfg.Cluster == nil {
			return nil, errors.New("a node by itself must hold all shards: name none")
		}
	}
	done := &Recovered{Shards: list}
	if done.Checkpoint, err = st.Checkpoint(time.Now().UTC().Format("20060102T150405.000Z") + "-before-recover"); err != nil {
		return nil, err
	}
	incarnation, node := "", ""
	if cfg.Cluster != nil {
		node = cfg.Cluster.Node
		if incarnation, err = st.Incarnation(""); err == nil && incarnation == "" {
			err = errors.New("the store was never part of a cluster")
		}
	}
	for _, r := range list {
		if err == nil {
			_, err = group.Refound(st, r.Shard, node, incarnation, true)
		}
	}
	return done, err
}
