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

	"github.com/hashicorp/raft"

	"leap.example/services/bigcouch/store"
)

// errRefused means that a node says no, and means it.
var errRefused = errors.New("refused")

// promiseKey is the stable value that says whom this node has promised a shard.
var promiseKey = []byte("Promise")

// A vouching is the promise of a node that it has nothing of a shard and will
// hold it with its founder.
type vouching struct {
	Server raft.ServerID `json:"server"`
}

// vouch promises a shard to a founder, durably, unless there is something of it
// here or it was promised to another.
func (s *Set) vouch(n uint16, founder raft.ServerID) (vouching, error) {
	g := s.group(n)
	if g == nil {
		return vouching{}, errHere
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
	if promised != "" && promised != string(founder) {
		return vouching{}, fmt.Errorf("%w: it is promised to %s", errRefused, promised)
	}
	return vouching{s.self}, g.logs.Set(promiseKey, []byte(founder))
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
	return s.vouch(n, v.Server)
}

// found begins a shard that nobody has anything of, with all the voters of the
// table. Only the first of them does it, and only when all the others vouch.
func (s *Set) found(ctx context.Context, g *group) error {
	voters := s.cfg.Voters[g.shard]
	if voters[0] != s.cfg.Self {
		return nil
	}
	empty, err := g.empty()
	if err != nil || !empty {
		return err
	}
	if _, err := s.vouch(g.shard, s.self); err != nil {
		return err
	}
	body, err := json.Marshal(vouching{s.self})
	if err != nil {
		return err
	}
	c := raft.Configuration{Servers: []raft.Server{{ID: s.self, Address: raft.ServerAddress(s.self)}}}
	for _, node := range voters[1:] {
		var v vouching
		if err := s.ask(ctx, http.MethodPost, node, shardPath(g.shard, "/vouch"), body, &v); err != nil {
			return err
		}
		c.Servers = append(c.Servers, raft.Server{ID: v.Server, Address: raft.ServerAddress(v.Server)})
	}
	s.log.Info("founding a shard", "shard", g.shard, "voters", voters)
	return g.raft.BootstrapCluster(c).Error()
}

// Refound makes what a store has of a shard the beginning of a new history that
// this store alone holds: to grow from one node to several, after a restore, and
// when a majority is lost for good. What the log has beyond the state is applied
// first, whether or not it had a majority. cut says that the shard may have lost
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
	var history [8]byte
	rand.Read(history[:])
	self := serverID(node, incarnation)
	members := raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: self, Address: raft.ServerAddress(self)}}})
	b.Refound(term, max(1, binary.BigEndian.Uint64(history[:])), members, cut)
	b.SetValue([]byte("CurrentTerm"), binary.BigEndian.AppendUint64(nil, term))
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
		term = max(term, e.Term)
		if e.Type == raft.LogCommand {
			if _, _, err := f.apply(b, &e); err != nil {
				return 0, err
			}
		}
	}
	seen, err := l.GetUint64([]byte("CurrentTerm"))
	if err != nil && !errors.Is(err, errNotFound) {
		return 0, err
	}
	return max(term, seen, b.Head().Term) + 1, nil
}
