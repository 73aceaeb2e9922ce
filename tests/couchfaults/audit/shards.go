package audit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// A Shard is one shard as a node sees it.
type Shard struct {
	Shard   int
	State   string
	Leader  string
	Applied uint64
	Ready   bool
	Voters  []string
	Wanted  []string
}

// Shards returns all shards as one node sees them.
func (a *Auditor) Shards(ctx context.Context, node string) ([]Shard, error) {
	var status struct{ Shards []Shard }
	_, err := a.Do(ctx, http.MethodGet, node, "/_node/_local/_cluster", "", &status)
	return status.Shards, err
}

// Busy returns the leader of the shard of documents that is written to most, as
// the nodes that answer see it.
func (a *Auditor) Busy(ctx context.Context) (leader string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	before, err := a.leaders(ctx)
	if err != nil {
		return "", err
	}
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond): // What a shard's growth is measured over.
	}
	after, err := a.leaders(ctx)
	if err != nil {
		return "", err
	}
	most := uint64(0)
	for shard, now := range after {
		if grown := now.Applied - min(now.Applied, before[shard].Applied); shard > 0 && grown >= most {
			most, leader = grown, now.Leader
		}
	}
	if leader == "" {
		err = errors.New("no shard has a leader")
	}
	return leader, err
}

// leaders returns each shard as its leader sees it.
func (a *Auditor) leaders(ctx context.Context) (map[int]Shard, error) {
	found := map[int]Shard{}
	var errs []error
	for _, node := range a.URLs {
		shards, err := a.Shards(ctx, node)
		errs = append(errs, err)
		for _, s := range shards {
			if s.State == "Leader" && s.Applied >= found[s.Shard].Applied {
				found[s.Shard] = s
			}
		}
	}
	if len(found) == 0 {
		return nil, errors.Join(append(errs, errors.New("no leaders"))...)
	}
	return found, nil
}

// Placed returns an error unless each shard is where the table wants it: its
// leader says so, and there is one.
func (a *Auditor) Placed(ctx context.Context, shards int) error {
	found, err := a.leaders(ctx)
	if err != nil {
		return err
	}
	for shard := range shards {
		s, ok := found[shard]
		if !ok {
			return fmt.Errorf("shard %d has no leader", shard)
		}
		slices.Sort(s.Voters)
		slices.Sort(s.Wanted)
		if !slices.Equal(s.Voters, s.Wanted) {
			return fmt.Errorf("shard %d is on %v and should be on %v", shard, s.Voters, s.Wanted)
		}
	}
	return nil
}
