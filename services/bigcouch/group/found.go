package group

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"leap.example/services/bigcouch/store"
)

// errRefused means that a node says no, and means it.
var errRefused = errors.New("refused")

// promiseKey is the stable value that says whom this node has promised a shard.
var promiseKey = []byte("Promise")

// A vouching is what a node says of a shard that it has nothing of. Asked by a
// founder, it is his question.
type vouching struct {
	Server raft.ServerID `json:"server"`
	Step   string        `json:"step,omitempty"` // Of the question: one of the following.
}

// Steps of founding a shard.
const (
	stepAsk     = "ask"     // Is there something of the shard?
	stepPromise = "promise" // If not, promise it to me.
	stepRelease = "release" // It has come to nothing.
)

// vouch says that this node has nothing of a shard, and promises it to a
// founder, durably, unless it was promised to another. A node that is not to
// hold the shard promises nothing. A node that asks, by, under another server's
// name than it was promised to says that it is not that one any more, but was
// wiped: what it was promised then is void. Had it founded the shard, those whose
// votes it would have needed had something of it.
func (s *Set) vouch(n uint16, founder vouching, by string) (vouching, error) {
	s.vouching.Lock() // Of two founders who ask at once the second must see what the first was told.
	defer s.vouching.Unlock()
	h, err := s.store.Head(n)
	if err != nil {
		return vouching{}, err
	}
	if h.Index > 0 {
		return vouching{}, fmt.Errorf("%w: there is something of the shard here", errRefused)
	}
	g := s.group(n)
	if g == nil {
		return vouching{Server: s.self}, nil
	}
	empty, err := g.empty()
	if err != nil {
		return vouching{}, err
	}
	if !empty {
		return vouching{}, fmt.Errorf("%w: there is something of the shard here", errRefused)
	}
	promised, err := g.logs.log.Value(promiseKey)
	if err != nil {
		return vouching{}, err
	}
	if promised != "" && promised != string(founder.Server) && (nodeOf(raft.ServerID(promised)) != by || nodeOf(founder.Server) != by) {
		return vouching{}, fmt.Errorf("%w: it is promised to %s", errRefused, promised)
	}
	switch founder.Step {
	case stepPromise:
		err = g.logs.Set(promiseKey, []byte(founder.Server))
	case stepRelease:
		err = g.logs.Set(promiseKey, nil)
	}
	return vouching{Server: s.self}, err
}

// vouched has all nodes vouch for a shard and returns their stores.
func (s *Set) vouched(ctx context.Context, n uint16) (stores map[string]raft.ServerID, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := s.step(ctx, n, stepAsk); err != nil {
		return nil, err
	}
	stores, err = s.step(ctx, n, stepPromise)
	if err != nil {
		_, late := s.step(context.WithoutCancel(ctx), n, stepRelease)
		return nil, errors.Join(err, late)
	}
	return stores, nil
}

// step asks all nodes, and this one.
func (s *Set) step(ctx context.Context, n uint16, what string) (map[string]raft.ServerID, error) {
	question := vouching{s.self, what}
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	stores := map[string]raft.ServerID{}
	var failed error
	for _, node := range s.cfg.Nodes {
		var v vouching
		if node == s.cfg.Self {
			if s.group(n) == nil { // It has the shard by itself.
				stores[node] = s.self
				continue
			}
			v, err = s.vouch(n, question, s.cfg.Self)
		} else {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			err = s.askOf(ctx, http.MethodPost, node, n, "/vouch", body, &v)
			cancel()
		}
		stores[node] = v.Server
		failed = errors.Join(failed, err)
		if failed != nil && what != stepRelease {
			return nil, failed
		}
	}
	return stores, failed
}

func (s *Set) serveVouch(n uint16, r *http.Request) (any, error) {
	data, err := io.ReadAll(io.LimitReader(r.Body, 4096))
	if err != nil {
		return nil, err
	}
	var v vouching
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	by, err := s.port.NodeOf(r)
	if err != nil {
		by = "" // Then it is no node that speaks for itself.
	}
	return s.vouch(n, v, by)
}

// found begins a shard that nobody has anything of, with all the voters of the
// table. Only the first of them does it, and only when all the others vouch.
func (s *Set) found(ctx context.Context, g *group) error {
	empty, err := g.empty()
	if err != nil || !empty {
		g.obstacle.Store(nil)
		return err
	}
	voters := s.cfg.Voters[g.shard]
	if voters[0] != s.cfg.Self {
		return g.awaited()
	}
	stores, err := s.vouched(ctx, g.shard)
	if err != nil {
		g.obstacle.Store(new(err.Error()))
		return err
	}
	var c raft.Configuration
	for _, node := range voters {
		c.Servers = append(c.Servers, raft.Server{ID: stores[node], Address: raft.ServerAddress(stores[node])})
	}
	s.log.Info("founding a shard", "shard", g.shard, "voters", voters)
	return g.raft.BootstrapCluster(c).Error()
}

// grow makes a shard that this node has by itself one of the cluster, when no
// other node has anything of it, and takes care of it from then on. The other
// nodes come to it as the table wants it.
func (s *Set) grow(ctx context.Context, n uint16) {
	for {
		g, err := s.adopt(ctx, n)
		if err == nil {
			s.tend(ctx, g)
			return
		}
		if ctx.Err() == nil {
			s.log.Warn("a shard of this node is not yet one of the cluster", "shard", n, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(2 * time.Second):
		}
	}
}

func (s *Set) adopt(ctx context.Context, n uint16) (*group, error) {
	if _, err := s.vouched(ctx, n); err != nil {
		return nil, err
	}
	_, incarnation, _ := strings.Cut(string(s.self), "@")
	if _, err := Refound(s.store, n, s.cfg.Self, incarnation, false); err != nil {
		return nil, err
	}
	g, err := open(s.cfg, s.store, s.port, n, s.self, s.log, s.fail)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[n] = g
	return g, nil
}

// Refound makes what a store has of a shard the beginning of a new history that
// this store alone holds: to grow from one node to several, after a restore, and
// when a majority is lost for good. Without a node's name the shard is then that
// of a node by itself. What the log has beyond the state is applied first,
// whether or not it had a majority. cut says that the shard may have lost
// something that was acknowledged: followers of changes begin anew then. The
// store must not be served meanwhile.
func Refound(st *store.Store, shardNo uint16, node, incarnation string, cut bool) (applied uint64, err error) {
	b, err := st.Batch(shardNo)
	if err != nil {
		return 0, err
	}
	term, err := replay(st, shardNo, b)
	if err != nil {
		return 0, errors.Join(err, b.Close())
	}
	applied = b.Head().Index
	if applied == 0 { // A founder must have a position.
		if _, err := b.Apply(store.Position{Index: 1, Term: 1}, store.Entry{Cmd: store.NameHistory{}}); err != nil {
			return 0, errors.Join(err, b.Close())
		}
	}
	epoch := b.Head().Epoch
	if cut { // By the clock: two copies of one state that both go on are not of one epoch.
		epoch = max(epoch+1, uint64(time.Now().Unix()))
	}
	if node == "" {
		b.Refound(0, 0, nil, epoch)
		return applied, b.Commit(true)
	}
	var history [8]byte
	rand.Read(history[:])
	self := serverID(node, incarnation)
	members := raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: self, Address: raft.ServerAddress(self)}}})
	b.Refound(term, max(1, binary.BigEndian.Uint64(history[:])), members, epoch)
	b.SetValue(termKey, binary.BigEndian.AppendUint64(nil, term))
	return applied, b.Commit(true)
}

// replay applies what the log has beyond the state, and returns a term above all
// that were seen.
func replay(st *store.Store, shardNo uint16, b *store.Batch) (term uint64, err error) {
	l := &logs{log: st.Log(shardNo)}
	last, err := l.LastIndex()
	if err != nil {
		return 0, err
	}
	f := &fsm{store: st, shard: shardNo}
	for i := b.Head().Index + 1; i <= last; i++ {
		var e raft.Log
		if err := l.GetLog(i, &e); err != nil {
			return 0, fmt.Errorf("entry %d: %w", i, err)
		}
		if e.Term < b.Head().Term {
			break // Of a history that the state, which came from a leader, does not have.
		}
		term = max(term, e.Term)
		if e.Type == raft.LogCommand {
			if _, _, err := f.apply(b, &e); err != nil {
				return 0, err
			}
		}
	}
	seen, err := l.GetUint64(termKey)
	if err != nil && !errors.Is(err, errNotFound) {
		return 0, err
	}
	return max(term, seen, b.Head().Term) + 1, nil
}
