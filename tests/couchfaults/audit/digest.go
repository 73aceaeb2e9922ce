package audit

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"leap.example/tests/couchfaults/lab"
)

// A Digest is that of one shard on one node, at an index of the shard's log.
type Digest struct {
	Index  uint64
	Digest string
}

// Digests are those of one node, by shard.
type Digests struct{ Shards map[string]Digest }

// Replicas has every shard take its digest and returns how many there are.
// An error says that replicas differ or do not answer in time. replicas is how
// many nodes vote on each shard, and at least hold it. Nobody should write
// meanwhile.
func (a *Auditor) Replicas(ctx context.Context, replicas int, patience time.Duration) (shards int, err error) {
	if err := lab.Poll(ctx, "replicas to be level", patience, func() error { return a.level(ctx) }); err != nil {
		return 0, err
	}
	before, err := a.digests(ctx)
	if err != nil {
		return 0, err
	}
	if _, err := a.Do(ctx, http.MethodPost, a.URLs[0], "/_node/_local/_digest", "{}", nil); err != nil {
		return 0, fmt.Errorf("having digests taken: %w", err)
	}
	err = lab.Poll(ctx, "digests", patience, func() error {
		now, err := a.digests(ctx)
		if err == nil {
			shards, err = Same(before, now, replicas)
		}
		return err
	})
	return shards, err
}

// level returns an error unless all copies of each shard are equally far.
func (a *Auditor) level(ctx context.Context) error {
	applied := map[int]uint64{}
	for i, node := range a.URLs {
		shards, err := a.Shards(ctx, node)
		if err != nil {
			return err
		}
		for _, s := range shards {
			if s.State == "elsewhere" {
				continue
			}
			if at, ok := applied[s.Shard]; !s.Ready || ok && at != s.Applied {
				return fmt.Errorf("node %d: shard %d is at %d, and elsewhere at %d; ready %v", i, s.Shard, s.Applied, at, s.Ready)
			}
			applied[s.Shard] = s.Applied
		}
	}
	return nil
}

// Scrub has a node read all that it holds, and returns when it has. An error
// says that it does not answer, or not in time.
func (a *Auditor) Scrub(ctx context.Context, node string, patience time.Duration) error {
	before, err := a.digestsOf(ctx, node)
	if err == nil {
		_, err = a.Do(ctx, http.MethodPost, node, "/_node/_local/_digest", "{}", nil)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return lab.Poll(ctx, "a node to read what it holds", patience, func() error {
		now, err := a.digestsOf(ctx, node)
		if err != nil {
			cancel()
			return err
		}
		shards, err := a.Shards(ctx, node)
		if err != nil {
			return err
		}
		for _, s := range shards {
			name := strconv.Itoa(s.Shard)
			if s.State != "elsewhere" && now.Shards[name].Index <= before.Shards[name].Index {
				return fmt.Errorf("not yet shard %s", name)
			}
		}
		return nil
	})
}

func (a *Auditor) digestsOf(ctx context.Context, node string) (d Digests, err error) {
	_, err = a.Do(ctx, http.MethodGet, node, "/_node/_local/_digest", "", &d)
	return d, err
}

func (a *Auditor) digests(ctx context.Context) ([]Digests, error) {
	all := make([]Digests, len(a.URLs))
	for i, node := range a.URLs {
		var err error
		if all[i], err = a.digestsOf(ctx, node); err != nil {
			return nil, fmt.Errorf("digests of node %d: %w", i, err)
		}
	}
	return all, nil
}

// Same returns the number of shards if each is held by so many nodes that have
// newer digests than before, at the same index, and the same ones.
func Same(before, now []Digests, replicas int) (int, error) {
	old := map[string]uint64{}
	for _, d := range before {
		for shard, at := range d.Shards {
			old[shard] = max(old[shard], at.Index)
		}
	}
	found := map[string][]Digest{}
	for _, d := range now {
		for shard, at := range d.Shards {
			found[shard] = append(found[shard], at)
		}
	}
	for _, shard := range slices.Sorted(maps.Keys(found)) {
		all := found[shard]
		if len(all) < replicas {
			return 0, fmt.Errorf("shard %s: %d of %d replicas have a digest", shard, len(all), replicas)
		}
		for _, d := range all {
			if d.Index != all[0].Index || d.Index <= old[shard] {
				return 0, fmt.Errorf("shard %s: digests are of entries %d and %d, once of %d", shard, d.Index, all[0].Index, old[shard])
			}
		}
		for _, d := range all {
			if d.Digest != all[0].Digest || d.Digest == "" {
				return 0, fmt.Errorf("shard %s: replicas differ at entry %s: %v", shard, strconv.FormatUint(d.Index, 10), all)
			}
		}
	}
	if len(found) == 0 {
		return 0, fmt.Errorf("no digests")
	}
	return len(found), nil
}
