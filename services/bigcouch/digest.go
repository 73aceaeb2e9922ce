package bigcouch

import (
	"encoding/hex"
	"net/http"

	"leap.example/services/bigcouch/group"
)

// A shardDigest is the digest of this node's copy of a shard, at an index of the
// shard's log.
type shardDigest struct {
	Index  uint64 `json:"index"`
	Digest string `json:"digest"`
}

// digests shows the latest digests of this node's copies.
func (c *call) digests() error {
	shards := map[uint16]shardDigest{}
	for i := range uint16(c.engine.shards + 1) {
		index, sum, ok, err := c.store.Digest(i)
		if err != nil {
			return err
		}
		if ok {
			shards[i] = shardDigest{index, hex.EncodeToString(sum[:])}
		}
	}
	c.reply(http.StatusOK, map[string]any{"shards": shards})
	return nil
}

// compare has digests taken of all shards, and in a cluster compared between all
// their copies. It reads everything that is stored.
func (c *call) compare() error {
	if c.engine.set == nil {
		for i := range uint16(c.engine.shards + 1) {
			if err := c.store.TakeDigest(c.ctx().Done(), i); err != nil {
				return err
			}
		}
		return c.digests()
	}
	equal := true
	shards := map[uint16]group.Comparison{}
	for i := range uint16(c.engine.shards + 1) {
		got, err := c.engine.set.Compare(c.ctx(), i)
		if err != nil && got.Digests == nil {
			return err
		}
		equal = equal && got.Equal && len(got.Missing) == 0
		shards[i] = got
	}
	c.reply(http.StatusOK, map[string]any{"equal": equal, "shards": shards})
	return nil
}

// clusterStatus shows the shards as this node sees them.
func (c *call) clusterStatus() error {
	if c.engine.set == nil {
		return notFound("this node is by itself")
	}
	c.reply(http.StatusOK, map[string]any{"node": c.cfg.Cluster.Node, "shards": c.engine.set.Statuses()})
	return nil
}
