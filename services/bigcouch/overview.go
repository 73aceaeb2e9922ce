package bigcouch

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

	"leap.example/services/bigcouch/group"
)

// maxLag is how many entries a replica may be behind before that is a problem.
const maxLag = 1000

// maxSilence is how many seconds a follower may hear nothing of its leader
// before that is a problem.
const maxSilence = 10

// An Overview says how a node does, for administrators.
type Overview struct {
	Node     string   `json:"node"`
	Cluster  []string `json:"cluster,omitempty"` // Names of all nodes. Empty: the node is by itself.
	Time     int64    `json:"time"`              // Unix.
	Uptime   int64    `json:"uptime"`            // Seconds.
	Problems []string `json:"problems"`          // What somebody should look at.

	FreeBytes uint64 `json:"free_bytes"`
	UsedBytes uint64 `json:"used_bytes"`
	Full      bool   `json:"full"` // Writes are refused.

	Databases   int              `json:"databases"`
	Feeds       int              `json:"feeds"`
	Tasks       []map[string]any `json:"tasks"`
	Shards      []ShardOverview  `json:"shards"`
	Keys        []KeyUse         `json:"keys"` // Empty: the store lies in the clear.
	Checkpoints []string         `json:"checkpoints"`
}

// A ShardOverview is one shard as a node sees it.
type ShardOverview struct {
	group.Status
	DigestIndex uint64 `json:"digest_index,omitempty"` // Of the log, where the digest was taken. 0: never.
	Digest      string `json:"digest,omitempty"`       // Hex.
}

// overview looks at everything.
func (n *node) overview() (o Overview, err error) {
	now := time.Now()
	o = Overview{
		Node: n.name(), Time: now.Unix(), Uptime: int64(now.Sub(n.metrics.began).Seconds()), Problems: []string{},
		UsedBytes: n.store.DiskBytes(), Full: n.full.Load(), Tasks: n.tasks.list(), Keys: []KeyUse{}, Checkpoints: []string{},
	}
	if o.FreeBytes, err = n.store.Free(); err != nil {
		return o, err
	}
	v := n.store.View()
	o.Databases, err = v.CountDatabases()
	v.Close()
	if err != nil {
		return o, err
	}
	var d dto.Metric
	if err := n.metrics.feeds.Write(&d); err != nil {
		return o, err
	}
	o.Feeds = int(d.GetGauge().GetValue())
	if n.seal != nil {
		if o.Keys, err = keysInUse(n.seal, n.cfg.Dir); err != nil {
			return o, err
		}
	}
	if names, err := n.store.Checkpoints(); err != nil {
		return o, err
	} else if names != nil {
		o.Checkpoints = names
	}
	if err := n.overlookShards(&o); err != nil {
		return o, err
	}
	o.judge()
	return o, nil
}

func (n *node) overlookShards(o *Overview) error {
	var list []group.Status
	if n.engine.set != nil {
		list = n.engine.set.Statuses()
		for _, one := range n.cfg.Cluster.Nodes {
			o.Cluster = append(o.Cluster, one.Name)
		}
	} else {
		for i := range uint16(n.engine.shards + 1) {
			h, err := n.store.Head(i)
			if err != nil {
				return err
			}
			list = append(list, group.Status{Shard: i, State: "alone", Applied: h.Index, Ready: true, Voters: []string{}, Wanted: []string{}})
		}
	}
	for _, st := range list {
		one := ShardOverview{Status: st}
		index, sum, ok, err := n.store.Digest(st.Shard)
		if err != nil {
			return err
		}
		if ok {
			one.DigestIndex, one.Digest = index, hex.EncodeToString(sum[:])
		}
		o.Shards = append(o.Shards, one)
	}
	return nil
}

// judge says what is not as it should be.
func (o *Overview) judge() {
	problem := func(format string, args ...any) { o.Problems = append(o.Problems, fmt.Sprintf(format, args...)) }
	if o.Full {
		problem("The disk is full: writes are refused. Make space.")
	}
	var headless, late, copied, silent, behind []string
	for _, s := range o.Shards {
		n := strconv.Itoa(int(s.Shard))
		switch {
		case s.State == "elsewhere" || s.State == "alone":
		case s.Unbegun != "":
			problem("Shard %s is not founded: %s. If whom it is promised to never comes back with what is on his disk, "+
				"stop each node that says so, run leapd couch recover --release there, and start it.", n, s.Unbegun)
		case s.Leader == "":
			headless = append(headless, n)
		case s.Instead != "":
			late = append(late, n)
		case !s.Ready:
			copied = append(copied, n)
		case s.Silent > maxSilence:
			silent = append(silent, n)
		case s.Lag > maxLag:
			behind = append(behind, n)
		}
	}
	for _, p := range []struct {
		shards []string
		what   string
	}{
		{headless, "no leader: writes are refused until a majority of the nodes can be reached"},
		{late, "not up to date here: other nodes are asked instead"},
		{copied, "not up to date here, and still being copied"},
		{silent, "their leader has not been heard of for a while"},
		{behind, "far behind here"},
	} {
		if len(p.shards) > 0 {
			problem("Shards %s: %s.", strings.Join(p.shards, ", "), p.what)
		}
	}
	for _, k := range o.Keys {
		if !k.Current {
			problem("%d files are still sealed under the old key %v: leave its file in place.", k.Files, k.ID)
		}
	}
}

func (c *call) showOverview() error {
	o, err := c.overview()
	if err != nil {
		return err
	}
	c.reply(http.StatusOK, o)
	return nil
}
