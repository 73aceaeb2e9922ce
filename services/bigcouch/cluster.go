package bigcouch

import (
	"net"
	"net/http"
)

// A node by itself is a cluster of one, and its databases have one shard. What
// is said of places here is in CouchDB's terms.

// wholeRange is the range of hashes of the only shard of a database.
const wholeRange = "00000000-ffffffff"

// name returns the name of this node.
func (n *node) name() string {
	host, _, err := net.SplitHostPort(n.cfg.Listen)
	if err != nil || host == "" {
		host = "localhost"
	}
	return "bigcouch@" + host
}

// nodes returns the names of the nodes that have a copy of a shard.
func (n *node) nodes(uint16) []string { return []string{n.name()} }

func (c *call) membership() error {
	if err := c.wantAdmin(); err != nil {
		return err
	}
	all := []string{c.name()}
	c.reply(http.StatusOK, struct {
		All     []string `json:"all_nodes"`
		Cluster []string `json:"cluster_nodes"`
	}{all, all})
	return nil
}

func (c *call) databaseShards() error {
	c.reply(http.StatusOK, map[string]any{"shards": map[string][]string{wholeRange: c.nodes(c.db.Shard)}})
	return nil
}

func (c *call) documentShard(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	c.reply(http.StatusOK, struct {
		Range string   `json:"range"`
		Nodes []string `json:"nodes"`
	}{wholeRange, c.nodes(c.db.Shard)})
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
