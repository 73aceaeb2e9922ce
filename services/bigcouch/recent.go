package bigcouch

import (
	"context"
	"net/http"
	"sync"
	"time"

	"leap.example/services/bigcouch/store"
)

// Who somebody is, by Config and _users, and what he may do, by the security
// object of the database, is read from this node's copy of the catalogue. What
// was changed through another node is there after a moment; but a node that hears
// nothing of the catalogue's leader, and still reaches that of another shard,
// would let those in for ever who were shut out elsewhere. So a request that
// changes something does not go by a catalogue that may be older than
// oldestCatalogue: before that it catches up, or fails. Requests that only read
// go on, by what there is.

const (
	// oldestCatalogue is how old what a write is allowed by may be. It is longer
	// than an election takes on a busy machine, so that one stops nothing in other
	// shards.
	oldestCatalogue = 10 * time.Second
	// renewCatalogue is the age at which one of the writers that come is sent to
	// catch up, the others not yet.
	renewCatalogue = time.Second
	// renewTimeout is how long that one waits.
	renewTimeout = 500 * time.Millisecond
)

// recent knows how old this node's copy of the catalogue is at most.
type recent struct {
	mu    sync.Mutex // Guards what follows.
	at    time.Time  // It had everything then. Zero: never.
	asked bool       // Somebody is catching up.
}

// ensure returns when the copy is not too old, by a barrier if that is needed.
func (r *recent) ensure(ctx context.Context, barrier func(context.Context) error) error {
	r.mu.Lock()
	age := time.Since(r.at)
	must := age > oldestCatalogue
	if !must && (age < renewCatalogue || r.asked) {
		r.mu.Unlock()
		return nil
	}
	r.asked = true
	r.mu.Unlock()
	if !must {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, renewTimeout)
		defer cancel()
	}
	began := time.Now()
	err := barrier(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = false
	if err == nil && began.After(r.at) {
		r.at = began
	}
	if !must {
		return nil
	}
	return err
}

// recently makes sure that a request that changes something is judged by a
// catalogue that is not too old.
func (c *call) recently() error {
	if c.engine.set == nil || !changes(c.r.Method, c.path) {
		return nil
	}
	return c.recent.ensure(c.ctx(), func(ctx context.Context) error { return c.engine.log.Barrier(ctx, store.CatalogueShard) })
}

// reading are resources of a database that only read when they are posted to.
var reading = map[string]bool{
	"_all_docs": true, "_bulk_get": true, "_changes": true, "_design_docs": true, "_ensure_full_commit": true, "_explain": true, "_find": true,
	"_local_docs": true, "_missing_revs": true, "_revs_diff": true,
}

// changes reports whether a request may change something in databases.
func changes(method string, path []string) bool {
	switch {
	case method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions || len(path) == 0:
		return false
	case path[0] == "_node" || len(path) == 1 && (path[0] == "_session" || path[0] == "_dbs_info"):
		return false
	case method != http.MethodPost || len(path) == 1:
		return true
	case path[1] == "_design":
		return len(path) < 4 || path[3] != "_view"
	}
	return !reading[path[1]]
}
