package bigcouch

import "net/http"

// sure calls f, which reads this node's copy of a shard. When it finds that
// something is not there, or not allowed, and the node is one of several, that
// may only be news that has not come here yet: the answer is given after having
// caught up with what was acknowledged anywhere before. So who writes through
// one node and then reads through another finds what he has made; only what he
// changes may be seen late.
func (c *call) sure(shardNo uint16, f func() error) error {
	err := f()
	if err == nil || c.sent || c.engine.set == nil || !c.engine.set.Ready(shardNo) {
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
	if err := c.engine.log.Barrier(c.ctx(), shardNo); err != nil {
		return err
	}
	return f()
}
