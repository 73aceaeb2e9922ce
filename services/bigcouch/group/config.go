package group

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Config says which nodes hold which shard.
type Config struct {
	Self   string     // Name of this node.
	Nodes  []string   // All nodes.
	Voters [][]string // Of each shard, from 0.

	// Of the log: how many entries stay behind a snapshot for followers that
	// are late, and after how many one is taken. 0: 10,240 and 8,192.
	TrailingLogs, SnapshotThreshold uint64

	// Heartbeat is how long a follower waits for its leader before it stands
	// for election. 0: a second. The leader gives up after half of it, and tells
	// followers up to a tenth of it later what is committed.
	Heartbeat time.Duration
}

// Validate reports what is wrong.
func (c Config) Validate() error {
	if !slices.Contains(c.Nodes, c.Self) {
		return fmt.Errorf("node %q is not in the list of nodes", c.Self)
	}
	if len(c.Voters) < 2 {
		return errors.New("placement: the catalogue and at least one shard are required")
	}
	for i, voters := range c.Voters {
		if len(voters) == 0 {
			return fmt.Errorf("placement: shard %d has no voters", i)
		}
		for j, v := range voters {
			if !slices.Contains(c.Nodes, v) {
				return fmt.Errorf("placement: shard %d names %q, which is not in the list of nodes", i, v)
			}
			if slices.Contains(voters[:j], v) {
				return fmt.Errorf("placement: shard %d names %q twice", i, v)
			}
		}
	}
	return nil
}

// votes reports whether a node is to vote on a shard.
func (c Config) votes(shard uint16, node string) bool {
	return int(shard) < len(c.Voters) && slices.Contains(c.Voters[shard], node)
}

// holds reports whether a node is to hold a shard.
func (c Config) holds(shard uint16, node string) bool {
	return shard == 0 || c.votes(shard, node)
}
