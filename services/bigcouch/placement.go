package bigcouch

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// ConfigCluster makes a node one of several. All nodes of a cluster have the
// same Nodes and Placement, or come to have them one after the other: what
// differs for a while does no harm.
type ConfigCluster struct {
	Node   string `json:"node"`   // Name of this node in Nodes. Required.
	Listen string `json:"listen"` // host:port of the peer port, an address of the mesh. Required.

	// CertFile is the path of this node's certificate, PEM, whose only DNS name
	// is Node; KeyFile that of its key; CAFile that of the authority that signs
	// nodes and nothing else. Required.
	CertFile string `json:"cert_file"`
	KeyFile  string `json:"key_file"`
	CAFile   string `json:"ca_file"`

	Nodes     []ConfigNode `json:"nodes"`     // All nodes. Required.
	Placement [][]string   `json:"placement"` // Names of the voters of each shard, from 0: of ConfigPlacement. Required.

	// Heartbeat is how long a copy waits for the leader of its shard before
	// another one is elected; the leader is heard ten times in it, and gives up
	// after half of it without the others. Copies are late by up to a tenth of it.
	// Longer for nodes that are slow or far apart. The same on all nodes. Empty:
	// "1s".
	Heartbeat string `json:"heartbeat,omitempty"`

	TrailingLogs      uint64 `json:"trailing_logs,omitempty"`      // Entries of a log that stay for followers that are late. 0: 10,240.
	SnapshotThreshold uint64 `json:"snapshot_threshold,omitempty"` // Entries after which a log is trimmed. 0: 8,192.
}

// A ConfigNode is one node of a cluster.
type ConfigNode struct {
	Name string `json:"name"`           // Required. Never given to another machine's store by hand: a wiped node may keep it.
	Peer string `json:"peer"`           // host:port of its peer port. Required.
	Zone string `json:"zone,omitempty"` // What may fail together.
}

var nodeName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.-]{0,62}$`)

// validate reports what is missing. The placement is checked where it is used.
func (c *ConfigCluster) validate() error {
	if c.Node == "" || c.Listen == "" || c.CertFile == "" || c.KeyFile == "" || c.CAFile == "" || len(c.Nodes) == 0 || len(c.Placement) < 2 {
		return errors.New("cluster: node, listen, cert_file, key_file, ca_file, nodes and placement are required")
	}
	for _, n := range c.Nodes {
		if !nodeName.MatchString(n.Name) || n.Peer == "" {
			return fmt.Errorf("cluster: node %q: a name of letters, digits, dots and dashes, and a peer are required", n.Name)
		}
	}
	if c.Heartbeat != "" {
		if d, err := time.ParseDuration(c.Heartbeat); err != nil || d < leastHeartbeat || d > mostHeartbeat {
			return fmt.Errorf("cluster: heartbeat %q: a duration from %v to %v is needed", c.Heartbeat, leastHeartbeat, mostHeartbeat)
		}
	}
	return nil
}

// Limits of a heartbeat: below, a node that collects its garbage is taken for
// dead; beyond, nobody waits for a write so long.
const (
	leastHeartbeat = 100 * time.Millisecond
	mostHeartbeat  = time.Minute
)

// heartbeat is the setting, 0 if there is none. It was validated.
func (c *ConfigCluster) heartbeat() time.Duration {
	d, _ := time.ParseDuration(c.Heartbeat)
	return d
}

// ConfigPlacement returns which nodes vote on each shard: shard 0, the
// catalogue, and q shards of documents, each on n nodes, made odd downwards. It
// is rendezvous hashing, so that a node more or less moves its share and
// nothing else, and at most ceil(n/zones) of a shard are in one zone as long as
// there are others.
func ConfigPlacement(nodes []ConfigNode, q, n int) [][]string {
	zones := map[string]bool{}
	for _, node := range nodes {
		zones[node.Zone] = true
	}
	n = min(n, len(nodes))
	n -= 1 - n%2 // An even number of voters bears no more losses than one less.
	perZone := (n + len(zones) - 1) / max(1, len(zones))
	table := make([][]string, q+1)
	for shard := range table {
		order := slices.Clone(nodes)
		slices.SortFunc(order, func(a, b ConfigNode) int {
			return cmp.Or(cmp.Compare(score(shard, b.Name), score(shard, a.Name)), cmp.Compare(a.Name, b.Name))
		})
		inZone := map[string]int{}
		for _, limit := range []int{perZone, n} {
			for _, node := range order {
				if len(table[shard]) < n && inZone[node.Zone] < limit && !slices.Contains(table[shard], node.Name) {
					table[shard] = append(table[shard], node.Name)
					inZone[node.Zone]++
				}
			}
		}
	}
	return table
}

func score(shard int, node string) uint64 {
	sum := sha256.Sum256([]byte("leap bigcouch placement 1\n" + strconv.Itoa(shard) + "\n" + node))
	return binary.BigEndian.Uint64(sum[:])
}
