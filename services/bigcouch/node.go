package bigcouch

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"leap.example/services/bigcouch/peer"
	"leap.example/services/bigcouch/sealed"
	"leap.example/services/bigcouch/shard"
	"leap.example/services/bigcouch/store"
	"leap.example/services/bigcouch/view"
)

// A node is a server while it runs: the open store and what serves it.
type node struct {
	cfg        Config
	log        *slog.Logger
	idle       time.Duration
	store      *store.Store
	engine     *engine
	port       *peer.Port // Nil on a node by itself.
	seal       *sealed.FS // Nil without keys.
	auth       *auth
	securities securities // Of databases.
	metrics    *metrics
	tasks      tasks
	scripts    *view.Engine
	builders   builders  // Of rows of views.
	functions  functions // Of design documents.
	deciders   deciders
	recent     recent // The catalogue.
	names      names  // Of databases, for _db_updates.
	repl       *replicator
	full       atomic.Bool     // The disk has less than MinFreeBytes.
	stopping   <-chan struct{} // Closed when feeds must end.
	gate       sync.RWMutex    // Held for reading by handlers, that use the store.

	backingUp     sync.Mutex // Held while a backup is taken: one at a time.
	checkpointing sync.Mutex // Held while checkpoints are made or removed.
}

// watch ends the node when the store is damaged, and refuses writes while the
// disk is full.
func (n *node) watch(ctx context.Context, fail context.CancelCauseFunc) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		if free, err := n.store.Free(); err == nil && n.full.Load() != (free < n.cfg.MinFreeBytes) {
			n.full.Store(free < n.cfg.MinFreeBytes)
			n.log.Warn("disk space", "free_bytes", free, "writes_refused", n.full.Load())
		}
		select {
		case <-ctx.Done():
			return
		case <-n.store.Damaged():
			fail(n.store.Damage())
			return
		case <-tick.C:
		}
	}
}

// uploadLife is how long an upload may wait for the document that names it, on a
// node whose start does not end all uploads.
const uploadLife = time.Hour

// recover finishes what a crash has left half done in a shard: uploads that no
// document came to name, and in the catalogue databases that were being created
// or dropped.
func (n *node) recover(ctx context.Context, shardNo uint16) error {
	v := n.store.View()
	var left []*store.Database
	drops, err := v.Uploads(shardNo)
	if shardNo == store.CatalogueShard {
		for d, e := range v.Databases() {
			if err = errors.Join(err, e); e == nil && d.State != store.Live {
				left = append(left, d)
			}
		}
	}
	spread, e := v.SpreadDatabases()
	err = errors.Join(err, e)
	if err = errors.Join(err, v.Close()); err != nil {
		return fmt.Errorf("looking for unfinished work: %w", err)
	}
	for _, d := range left {
		if err := n.finish(ctx, d); err != nil {
			return err
		}
	}
	for _, d := range spread {
		if d.State == store.Live && d.Shard == shardNo {
			n.recoverDesigns(ctx, d)
		}
	}
	for _, u := range drops {
		if n.engine.set != nil && time.Since(time.UnixMilli(u.Began)).Abs() < uploadLife {
			continue // Another node may be at it.
		}
		if _, err := n.propose(ctx, shardNo, store.OpID{}, u.Drop); err != nil {
			return err
		}
	}
	return nil
}

// propose enters a command into the log of a shard. A command that the store
// refuses is an error here too.
func (n *node) propose(ctx context.Context, s uint16, op store.OpID, c store.Command) (store.Result, error) {
	_, r, err := n.engine.log.Propose(ctx, s, store.Entry{Op: op, Time: time.Now().UnixMilli(), Cmd: c})
	switch {
	case errors.Is(err, shard.ErrStopped):
		return r, errUnavailable
	case err != nil:
		return r, err
	case r.Err != nil:
		return r, r.Err
	}
	return r, nil
}

// create makes a database of q parts.
func (n *node) create(ctx context.Context, name string, q int) error {
	var id [8]byte
	rand.Read(id[:])
	h := fnv.New32a()
	h.Write([]byte(name))
	d := store.Database{
		Name: name, ID: max(1, binary.BigEndian.Uint64(id[:])), Shard: uint16(h.Sum32()%uint32(n.engine.shards)) + 1,
		State: store.Creating, RevsLimit: 1000, Created: time.Now().UnixMilli(),
	}
	if name == usersDatabase {
		d.Shard = store.CatalogueShard // Every node has it, to know who asks.
	}
	var enter store.Command = store.CreateDatabase{Database: d}
	if q > 1 {
		for i := range q {
			d.Shards = append(d.Shards, uint16((int(d.Shard)-1+i)%n.engine.shards)+1)
		}
		enter = store.CreateSpread{Database: d}
	}
	for {
		r, err := n.propose(ctx, store.CatalogueShard, store.OpID{}, enter)
		if err == nil {
			return n.finish(ctx, &d)
		}
		if r.Database == nil || r.Database.State == store.Live {
			return err
		}
		r.Database.Name = name
		if err := n.finish(ctx, r.Database); err != nil {
			return err
		}
	}
}

// drop removes a database and all its documents.
func (n *node) drop(ctx context.Context, d *store.Database) error {
	c := store.SetState{Name: d.Name, DB: d.ID, State: store.Deleting}
	if _, err := n.propose(ctx, store.CatalogueShard, store.OpID{}, c); err != nil {
		return err
	}
	dropped := *d
	dropped.State = store.Deleting
	return n.finish(ctx, &dropped)
}

// finish takes a database that is being created or dropped to the end of that,
// also when the client has gone. Two may do it at once.
func (n *node) finish(ctx context.Context, d *store.Database) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	var inShard, inCatalogue store.Command = store.OpenDatabase{DB: d.ID},
		store.SetState{Name: d.Name, DB: d.ID, State: store.Live}
	if d.State == store.Deleting {
		inShard, inCatalogue = store.DropDatabase{DB: d.ID}, store.ForgetDatabase{Name: d.Name, DB: d.ID}
	}
	for _, shardNo := range d.Places() {
		if _, err := n.propose(ctx, shardNo, store.OpID{}, inShard); err != nil {
			return err
		}
	}
	_, err := n.propose(ctx, store.CatalogueShard, store.OpID{}, inCatalogue)
	if d.State == store.Deleting && errors.Is(err, store.ErrNoDatabase) {
		return nil
	}
	return err
}
