package group

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/hashicorp/raft"

	"leap.example/services/bigcouch/store"
)

// compareInterval is how often a leader has the replicas of its shards compared.
const compareInterval = 24 * time.Hour

// How long the digest of a shard may take, and how often it is asked for.
const (
	sumTimeout = 10 * time.Minute
	sumPoll    = 100 * time.Millisecond
)

func hexOf(sum [32]byte) string { return hex.EncodeToString(sum[:]) }

// A Comparison is the digests of the replicas of a shard at one index.
type Comparison struct {
	Shard   uint16            `json:"shard"`
	Index   uint64            `json:"index"`
	Digests map[string]string `json:"digests"`           // By node.
	Missing []string          `json:"missing,omitempty"` // Nodes that did not answer.
	Differ  []string          `json:"differ,omitempty"`  // Nodes that are not what the majority is.
	Equal   bool              `json:"equal"`             // All that answered.
}

// Compare has the digest of every replica of a shard taken at one index. Where a
// majority of the voters is the same, a replica that is not is condemned: its
// node stops.
func (s *Set) Compare(ctx context.Context, n uint16) (c Comparison, err error) {
	ctx, cancel := context.WithTimeout(ctx, sumTimeout)
	defer cancel()
	index, _, err := s.Propose(ctx, n, store.Entry{Time: time.Now().UnixMilli(), Cmd: store.Digest{}})
	if err != nil {
		return c, err
	}
	c = Comparison{Shard: n, Index: index, Digests: map[string]string{}}
	members, err := s.membersOf(ctx, n)
	if err != nil {
		return c, err
	}
	voters, votes, count := 0, map[string]int{}, map[string]int{}
	for _, m := range members {
		node := nodeOf(m.ID)
		sum, err := s.digestAt(ctx, node, n, index)
		if m.Suffrage == raft.Voter {
			voters++
		}
		if err != nil {
			c.Missing = append(c.Missing, node)
			continue
		}
		c.Digests[node] = sum
		count[sum]++
		if m.Suffrage == raft.Voter {
			votes[sum]++
		}
	}
	c.Equal = len(count) == 1
	if len(count) < 2 {
		return c, nil
	}
	s.log.Error("replicas of a shard differ", "shard", n, "index", index, "digests", c.Digests)
	right := ""
	for sum, v := range votes {
		if 2*v > voters {
			right = sum
		}
	}
	if right == "" { // Nobody can tell who is right: a person has to look.
		return c, nil
	}
	for _, m := range members {
		node := nodeOf(m.ID)
		if sum, ok := c.Digests[node]; ok && sum != right {
			c.Differ = append(c.Differ, node)
			err = errors.Join(err, s.condemn(ctx, node, n, index, sum))
		}
	}
	return c, err
}

// membersOf returns who holds a shard, as its leader knows it.
func (s *Set) membersOf(ctx context.Context, n uint16) (members []raft.Server, err error) {
	err = s.atLeader(ctx, n, quorumTimeout, func(ctx context.Context, node string) error {
		st, err := s.askStatus(ctx, node, n)
		if err != nil {
			return err
		}
		if len(st.Members.Servers) == 0 {
			return errNotLeader
		}
		members = st.Members.Servers
		return nil
	})
	return members, err
}

// digestAt waits for the digest of a node at an index. A node that cannot be
// asked for some time is not waited for.
func (s *Set) digestAt(ctx context.Context, node string, n uint16, index uint64) (string, error) {
	failures := 0
	for {
		st, err := s.askStatus(ctx, node, n)
		switch {
		case err == nil && st.Digest != nil && st.Digest.Index == index:
			return st.Digest.Digest, nil
		case err == nil && st.Digest != nil && st.Digest.Index > index:
			return "", errors.New("another comparison came after")
		case err != nil:
			if failures++; failures > 20 {
				return "", err
			}
		default:
			failures = 0
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(sumPoll):
		}
	}
}

// condemn tells a node that its replica is wrong.
func (s *Set) condemn(ctx context.Context, node string, n uint16, index uint64, sum string) error {
	d := digestOf{index, sum}
	if node == s.cfg.Self {
		return s.condemned(n, d)
	}
	body, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return s.askOf(ctx, http.MethodPost, node, n, "/condemn", body, &struct{}{})
}

func (s *Set) serveCondemn(n uint16, r *http.Request) (any, error) {
	data, err := io.ReadAll(io.LimitReader(r.Body, 4096))
	if err != nil {
		return nil, err
	}
	var d digestOf
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	return struct{}{}, s.condemned(n, d)
}

// condemned declares this store damaged, if the digest is its own.
func (s *Set) condemned(n uint16, d digestOf) error {
	index, sum, ok, err := s.store.Digest(n)
	if err != nil {
		return err
	}
	if !ok || index != d.Index || hexOf(sum) != d.Digest {
		return fmt.Errorf("%w: this is not the digest of this node", errRefused)
	}
	s.store.Condemn(fmt.Errorf("shard %d is not what it is on the other nodes, at index %d", n, index))
	return nil
}

// Digests returns the latest digests of this node's replicas, by shard.
func (s *Set) Digests() (map[uint16]Comparison, error) {
	all := map[uint16]Comparison{}
	for _, g := range s.all() {
		index, sum, ok, err := s.store.Digest(g.shard)
		if err != nil {
			return nil, err
		}
		if ok {
			all[g.shard] = Comparison{Shard: g.shard, Index: index, Digests: map[string]string{s.cfg.Self: hexOf(sum)}}
		}
	}
	return all, nil
}
