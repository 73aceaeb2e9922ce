package group

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"leap.example/services/bigcouch/store"
)

// Nodes of a cluster are updated one after the other, and copies of a shard are
// the same only if all apply its entries in the same way. Each node tells which
// version of entries it knows (serverOf). The leader raises that of its shard
// when all members know a higher one; until then nothing is entered that needs
// it. Who knows less than the shard has come to is not taken in any more, and
// ends if it was a member all along. See store.EntryVersion.

// ErrOlder means that not every node of a shard knows what the entry needs yet.
var ErrOlder = errors.New("not every node has been updated yet")

// Version returns the version of entries that a shard has come to, as far as
// this node has applied it; 0 if it has nothing of the shard.
func (s *Set) Version(shardNo uint16) uint64 {
	if g := s.group(shardNo); g != nil {
		return g.fsm.version.Load()
	}
	return 0
}

// accepts refuses an entry that needs a higher version than the shard's is here.
func (s *Set) accepts(shardNo uint16, data []byte) error {
	if have := s.Version(shardNo); have > 0 && uint64(store.VersionOf(data)) > have {
		return fmt.Errorf("shard %d: %w", shardNo, ErrOlder)
	}
	return nil
}

// raise raises the version of a shard that this node leads to what all its
// members know. nodes are those that answer.
func (s *Set) raise(g *group, nodes map[string]serverOf) error {
	most := s.store.EntryVersion()
	if uint64(most) <= g.fsm.version.Load() {
		return nil
	}
	h, err := s.store.Head(g.shard)
	if err != nil || len(h.Members) == 0 {
		return err
	}
	for _, m := range raft.DecodeConfiguration(h.Members).Servers {
		o, answers := nodes[nodeOf(m.ID)]
		if !answers || o.Server != m.ID {
			return nil
		}
		most = min(most, o.Entry)
	}
	if uint64(most) <= h.Version {
		return nil
	}
	// Should the members be others by the time it is applied, nothing is raised.
	e := store.Entry{Time: time.Now().UnixMilli(), Cmd: store.RaiseVersion{Version: uint64(most), Since: h.Since}}
	data, err := e.Encode()
	if err != nil {
		return err
	}
	s.log.Info("raising the version of a shard's entries", "shard", g.shard, "version", most)
	_, err = s.propose(g.shard, data)
	return err
}
