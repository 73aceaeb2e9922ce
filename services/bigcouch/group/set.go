package group

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"leap.example/services/bigcouch/peer"
	"leap.example/services/bigcouch/shard"
	"leap.example/services/bigcouch/store"
)

// A Set is the groups of this node. It implements shard.Log for all shards of
// the database, also for those that are elsewhere.
type Set struct {
	cfg   Config
	store *store.Store
	port  *peer.Port
	log   *slog.Logger
	self  raft.ServerID
	http  *http.Client
	fail  context.CancelCauseFunc
	lead  func(ctx context.Context, shard uint16)

	grows []uint16 // Shards that this node has by itself so far.

	opened  chan struct{} // Closed when the groups are open.
	done    chan struct{} // Closed when the set stops.
	mu      sync.Mutex    // Guards what follows.
	groups  map[uint16]*group
	hints   map[uint16]string // Last known leaders of shards that are elsewhere.
	holders map[uint16]holder // Nodes that have shards that are elsewhere.

	vouching sync.Mutex // Held while a founder is told something.

	asking sync.WaitGroup // Questions whose answer may not be waited for.
}

var _ shard.Log = (*Set)(nil)

// New opens the groups of this node's store. lead is called when this node has
// become the leader of a shard, with a context that ends with Run. The caller
// runs Run, and serves Handler on the port.
func New(cfg Config, st *store.Store, port *peer.Port, log *slog.Logger, lead func(context.Context, uint16)) (*Set, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var random [8]byte
	rand.Read(random[:])
	incarnation, err := st.Incarnation(hex.EncodeToString(random[:]))
	if err != nil {
		return nil, err
	}
	return &Set{
		cfg: cfg, store: st, port: port, log: log, self: serverID(cfg.Self, incarnation), lead: lead,
		http:   &http.Client{Transport: port.Transport()},
		opened: make(chan struct{}), done: make(chan struct{}), groups: map[uint16]*group{}, hints: map[uint16]string{}, holders: map[uint16]holder{},
	}, nil
}

// Run runs the groups until ctx is done. An error means that the node cannot go
// on.
func (s *Set) Run(ctx context.Context) error {
	parent := ctx
	ctx, s.fail = context.WithCancelCause(ctx)
	defer s.fail(nil)
	var wg sync.WaitGroup
	err := s.openAll()
	if err == nil {
		close(s.opened)
		for _, g := range s.all() {
			wg.Go(func() { s.tend(ctx, g) })
		}
		for _, i := range s.grows {
			wg.Go(func() { s.grow(ctx, i) })
		}
		<-ctx.Done()
	}
	close(s.done)
	s.fail(err)
	wg.Wait()
	s.asking.Wait()
	for _, g := range s.all() {
		wg.Go(func() {
			if err := g.close(parent.Err() != nil); err != nil {
				s.log.Warn("shard not closed cleanly", "shard", g.shard, "err", err)
			}
		})
	}
	wg.Wait()
	if err == nil && parent.Err() == nil {
		err = context.Cause(ctx)
	}
	return err
}

// openAll opens the groups that the table gives to this node, and those that it
// still has something of.
func (s *Set) openAll() error {
	for i := range uint16(len(s.cfg.Voters)) {
		h, err := s.store.Head(i)
		if err != nil {
			return err
		}
		if !s.cfg.holds(i, s.cfg.Self) && h.Index == 0 {
			continue
		}
		if h.Index > 0 && len(h.Members) == 0 {
			s.grows = append(s.grows, i)
			continue
		}
		g, err := open(s.cfg, s.store, s.port, i, s.self, s.log, s.fail)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.groups[i] = g
		s.mu.Unlock()
	}
	return nil
}

// begun returns when the groups are open. Before that a node that has just been
// started does not know what it has.
func (s *Set) begun(ctx context.Context) error {
	select {
	case <-s.opened:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.done:
		return shard.ErrStopped
	}
}

func (s *Set) all() (list []*group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b *group) int { return int(a.shard) - int(b.shard) })
	return list
}

func (s *Set) group(shard uint16) *group {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groups[shard]
}

// Ready reports whether this node has a replica of the shard that may be read.
func (s *Set) Ready(shard uint16) bool {
	g := s.group(shard)
	return g != nil && g.ready()
}

// Leads reports whether this node leads the shard.
func (s *Set) Leads(shard uint16) bool {
	g := s.group(shard)
	return g != nil && g.raft.State() == raft.Leader
}

// Shards returns how many shards there are, the catalogue among them.
func (s *Set) Shards() int { return len(s.cfg.Voters) }
