package lab

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"leap.example/services/bigcouch"
)

// Shards is how many shards the databases of a lab's cluster are spread over,
// not counting that of the catalogue.
const Shards = 4

// A log is trimmed to so many entries when it has so many more: soon, so that
// nodes that were away need more than the log.
const (
	trailing  = 200
	threshold = 300
)

// Trimmed is how long a log never is for long: TrimPause at most, which is twice
// the time between two looks at it.
const (
	Trimmed   = trailing + threshold
	TrimPause = 4 * time.Second
)

// Place writes the configurations for the next start of each node. The table of
// who holds which shard is one of as many as there are nodes; turn says which.
func (l *Lab) Place(turn int) error {
	l.turn = turn
	for i := range l.Nodes {
		if err := l.configure(i); err != nil {
			return err
		}
	}
	return nil
}

// Turn returns which table is the present one.
func (l *Lab) Turn() int { return l.turn }

// Voters returns the names of the nodes that the present table gives a shard.
func (l *Lab) Voters(shard int) (names []string) {
	n := l.opts.Voters
	if n == 0 {
		n = min(3, len(l.Nodes))
	}
	for i := range n {
		names = append(names, l.Nodes[(l.turn+shard+i)%len(l.Nodes)].Name)
	}
	return names
}

func (l *Lab) configure(i int) error {
	n := l.Nodes[i]
	cfg := bigcouch.Config{
		Listen: n.URL[len("http://"):], Dir: n.Dir, MinFreeBytes: max(1, l.opts.MinFree),
		CacheBytes: 4 << 20, MemTableBytes: 1 << 20,
		Accounts: []bigcouch.ConfigAccount{
			{Name: Admin, PasswordFile: filepath.Join(l.opts.Dir, "password"), Admin: true},
		},
	}
	if l.opts.Nodes > 1 {
		cfg.Cluster = l.cluster(i)
	}
	sections := map[string]any{"daemon": struct{}{}, "bigcouch": cfg}
	data, err := json.MarshalIndent(sections, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(n.Config(), data, 0o600)
}

// cluster is the section of node i. It knows each peer by the address of the
// link to it.
func (l *Lab) cluster(i int) *bigcouch.ConfigCluster {
	n := l.Nodes[i]
	c := &bigcouch.ConfigCluster{
		Node: n.Name, Listen: addr(n.peerPort), CertFile: n.file("peer.crt"), KeyFile: n.file("peer.key"), CAFile: l.ca.file,
		TrailingLogs: trailing, SnapshotThreshold: threshold,
	}
	for j, other := range l.Nodes {
		at := addr(n.peerPort)
		if j != i {
			at = l.link(i, j).addr()
		}
		c.Nodes = append(c.Nodes, bigcouch.ConfigNode{Name: other.Name, Peer: at})
	}
	for shard := range Shards + 1 {
		c.Placement = append(c.Placement, l.Voters(shard))
	}
	return c
}

func (l *Lab) link(from, to int) *link {
	for _, k := range l.links {
		if k.from == from && k.to == to {
			return k
		}
	}
	return nil
}
