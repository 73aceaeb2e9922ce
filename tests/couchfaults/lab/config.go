package lab

import (
	"encoding/json"
	"os"
	"path/filepath"

	"leap.example/services/bigcouch"
)

// Shards is how many shards the databases of a lab's cluster are spread over,
// not counting that of the catalogue.
const Shards = 2

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
	sections := map[string]any{"daemon": struct{}{}, "bigcouch": cfg}
	if l.opts.Nodes > 1 {
		sections["bigcouch"] = struct {
			bigcouch.Config
			Cluster cluster `json:"cluster"`
		}{cfg, l.cluster(i)}
	}
	data, err := json.MarshalIndent(sections, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(n.Config(), data, 0o600)
}

// A cluster is what a node is told about its cluster.
type cluster struct {
	Node      string     `json:"node"`
	Listen    string     `json:"listen"`
	CertFile  string     `json:"cert_file"`
	KeyFile   string     `json:"key_file"`
	CAFile    string     `json:"ca_file"`
	Nodes     []peer     `json:"nodes"`
	Placement [][]string `json:"placement"`

	TrailingLogs      uint64 `json:"trailing_logs,omitempty"`
	SnapshotThreshold uint64 `json:"snapshot_threshold,omitempty"`
}

type peer struct {
	Name string `json:"name"`
	Peer string `json:"peer"`
	Zone string `json:"zone"`
}

// cluster is the section of node i. It knows each peer by the address of the
// link to it.
func (l *Lab) cluster(i int) cluster {
	n := l.Nodes[i]
	c := cluster{
		Node: n.Name, Listen: addr(n.peerPort), CertFile: n.file("peer.crt"), KeyFile: n.file("peer.key"), CAFile: l.ca.file,
		TrailingLogs: 200, SnapshotThreshold: 300,
	}
	for j, other := range l.Nodes {
		at := addr(n.peerPort)
		if j != i {
			at = l.link(i, j).addr()
		}
		c.Nodes = append(c.Nodes, peer{other.Name, at, "z"})
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
