package bigcouch

import (
	"context"
	"net/http"
	"time"

	"leap.example/services/bigcouch/shard"
	"leap.example/services/bigcouch/store"
)

// sureTimeout is how long an answer waits for this node to catch up.
const sureTimeout = 6 * time.Second

// sure calls f, which reads this node's copy of a shard. When it finds that
// something is not there, or not allowed, and the node is one of several, that
// may only be news that has not come here yet: the answer is given after having
// caught up with what was acknowledged anywhere before. So who writes through
// one node and then reads through another finds what he has made; only what he
// changes may be seen late. The catalogue is on every node, also while it is not
// fit to be read: one that has just been started, perhaps without its disk, does
// not know what there is.
func (c *call) sure(shardNo uint16, f func() error) error {
	err := f()
	if err == nil || c.sent || c.engine.set == nil || shardNo != store.CatalogueShard && !c.engine.set.Ready(shardNo) {
		return err
	}
	e, known := asWire(err)
	if !known {
		return err
	}
	switch e.status {
	case http.StatusNotFound, http.StatusConflict, http.StatusUnauthorized, http.StatusForbidden:
	default:
		return err
	}
	ctx, cancel := context.WithTimeoutCause(c.ctx(), sureTimeout, shard.Behind(shardNo))
	defer cancel()
	if err := c.engine.log.Barrier(ctx, shardNo); err != nil {
		return err
	}
	return f()
}

// sureOfDatabase looks again when nothing was found in a database that may have
// been dropped and made anew through another node.
func (c *call) sureOfDatabase(err error) error {
	e, known := asWire(err)
	if err == nil || !known || c.r.Method != http.MethodGet && c.r.Method != http.MethodHead || e.status != http.StatusNotFound || c.sent || c.engine.set == nil {
		return err
	}
	if err := c.engine.log.Barrier(c.ctx(), store.CatalogueShard); err != nil {
		return err
	}
	before := c.db.ID
	if err := c.openDatabase(); err != nil {
		return err
	}
	if c.db.ID == before {
		return err
	}
	return c.inDatabase()
}
