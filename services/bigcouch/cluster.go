package bigcouch

import (
	"net"
	"net/http"

	"leap.example/services/bigcouch/spread"
	"leap.example/services/bigcouch/store"
)

// A node by itself is a cluster of one. What is said of places here is in CouchDB's terms.

// name returns the name of this node.
func (n *node) name() string {
	if n.cfg.Cluster != nil {
		return "bigcouch@" + n.cfg.Cluster.Node
	}
	host, _, err := net.SplitHostPort(n.cfg.Listen)
	if err != nil || host == "" {
		host = "localhost"
	}
	return "bigcouch@" + host
}

// nodes returns the names of the nodes that have a copy of a shard.
func (n *node) nodes(shardNo uint16) (names []string) {
	if n.engine.set == nil {
		return []string{n.name()}
	}
	for _, name := range n.cfg.Cluster.Placement[shardNo] {
		names = append(names, "bigcouch@"+name)
	}
	return names
}

func (c *call) membership() error {
	if err := c.wantAdmin(); err != nil {
		return err
	}
	all := []string{c.name()}
	if c.cfg.Cluster != nil {
		all = nil
		for _, n := range c.cfg.Cluster.Nodes {
			all = append(all, "bigcouch@"+n.Name)
		}
	}
	c.reply(http.StatusOK, struct {
		All     []string `json:"all_nodes"`
		Cluster []string `json:"cluster_nodes"`
	}{all, all})
	return nil
}

// quorums returns what CouchDB calls q, n, w and r of a database.
func (n *node) quorums(db *store.Database) quorums {
	copies := len(n.nodes(db.Shard))
	return quorums{len(db.Places()), copies, copies/2 + 1, 1}
}

func (c *call) databaseShards() error {
	all := map[string][]string{}
	shards := c.db.Places()
	for i, n := range shards {
		all[spread.Range(i, len(shards))] = c.nodes(n)
	}
	c.reply(http.StatusOK, map[string]any{"shards": all})
	return nil
}

func (c *call) documentShard(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	shards := c.db.Places()
	part := spread.Of(id, len(shards))
	c.reply(http.StatusOK, struct {
		Range string   `json:"range"`
		Nodes []string `json:"nodes"`
	}{spread.Range(part, len(shards)), c.nodes(shards[part])})
	return nil
}

// syncShards has nothing to do: copies follow their log by themselves.
func (c *call) syncShards() error {
	if err := c.wantAdmin(); err != nil {
		return err
	}
	c.reply(http.StatusAccepted, okReply)
	return nil
}
