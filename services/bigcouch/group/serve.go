package group

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"leap.example/services/bigcouch/shard"
)

// Prefix begins the paths that Handler serves.
const Prefix = "/_leap/"

// Statuses between nodes, beside 200.
const (
	statusNotLeader = http.StatusMisdirectedRequest
	leaderHeader    = "X-Leap-Leader"
)

// maxEntry bounds an entry that comes from another node, in bytes.
const maxEntry = 160 << 20

// A status is what a node says of its part of a shard.
type status struct {
	Server  raft.ServerID      `json:"server"`
	State   string             `json:"state"`
	Leader  string             `json:"leader"`
	Term    uint64             `json:"term"`
	Commit  uint64             `json:"commit"`
	Applied uint64             `json:"applied"`
	History uint64             `json:"history"`
	Ready   bool               `json:"ready"`
	Members raft.Configuration `json:"members"`
	Digest  *digestOf          `json:"digest,omitempty"`
}

// A digestOf is the digest of a shard at an index of its log.
type digestOf struct {
	Index  uint64 `json:"index"`
	Digest string `json:"digest"`
}

// Handler serves the other nodes. It trusts that the port has verified them.
func (s *Set) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Prefix+"v1/server", func(w http.ResponseWriter, _ *http.Request) { reply(w, serverOf{s.self, s.store.EntryVersion()}) })
	for pattern, f := range map[string]func(uint16, *http.Request) (any, error){
		"POST " + Prefix + "v1/shards/{shard}/propose": s.servePropose,
		"POST " + Prefix + "v1/shards/{shard}/fresh":   s.serveFresh,
		"POST " + Prefix + "v1/shards/{shard}/members": s.serveMembers,
		"POST " + Prefix + "v1/shards/{shard}/vouch":   s.serveVouch,
		"POST " + Prefix + "v1/shards/{shard}/condemn": s.serveCondemn,
		"GET " + Prefix + "v1/shards/{shard}":          s.serveStatus,
	} {
		mux.HandleFunc(pattern, s.handle(f))
	}
	return mux
}

// A serverOf is what a node says of itself.
type serverOf struct {
	Server raft.ServerID `json:"server"`
	Entry  int           `json:"entry"` // Highest version of entries that it reads.
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // A broken connection has nowhere to report to.
}

// handle adapts a function to HTTP.
func (s *Set) handle(f func(uint16, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseUint(r.PathValue("shard"), 10, 16)
		if err != nil || int(n) >= len(s.cfg.Voters) {
			http.Error(w, "no such shard", http.StatusNotFound)
			return
		}
		if err := s.begun(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		v, err := f(uint16(n), r)
		switch {
		case err == nil:
			reply(w, v)
		case errors.Is(err, errNotLeader):
			if g := s.group(uint16(n)); g != nil {
				w.Header().Set(leaderHeader, g.leader())
			}
			http.Error(w, err.Error(), statusNotLeader)
		case errors.Is(err, errRefused):
			http.Error(w, err.Error(), http.StatusConflict)
		default:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}
}

// historyHeader is the history of a shard on the node that asks, if it has one.
const historyHeader = "X-Leap-History"

// acquainted refuses a node that has another history of a shard: what positions
// in the log are there means nothing here, and the other way round.
func (s *Set) acquainted(n uint16, r *http.Request) error {
	theirs, err := strconv.ParseUint(r.Header.Get(historyHeader), 10, 64)
	if g := s.group(n); err == nil && g != nil {
		if own := g.fsm.history.Load(); own != 0 && theirs != 0 && own != theirs {
			return fmt.Errorf("%w: the shard has another history here", errRefused)
		}
	}
	return nil
}

func (s *Set) servePropose(n uint16, r *http.Request) (any, error) {
	if err := s.acquainted(n, r); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, maxEntry))
	if err != nil {
		return nil, err
	}
	if _, err := s.store.DecodeEntry(data); err != nil { // Before it is in the log for good.
		return nil, err
	}
	if err := s.accepts(n, data); err != nil {
		return nil, err
	}
	return s.propose(n, data)
}

func (s *Set) serveMembers(n uint16, r *http.Request) (any, error) {
	return s.confirmed(r.Context(), n)
}

func (s *Set) serveFresh(n uint16, r *http.Request) (any, error) {
	if err := s.acquainted(n, r); err != nil {
		return nil, err
	}
	return s.readIndex(n)
}

var errHere = errors.New("the shard is not here")

func (s *Set) serveStatus(n uint16, _ *http.Request) (any, error) {
	g := s.group(n)
	if g == nil {
		return nil, errHere
	}
	return s.status(g)
}

// status returns what this node says of a group.
func (s *Set) status(g *group) (status, error) {
	st := status{
		Server: s.self, State: g.raft.State().String(), Leader: g.leader(), Term: g.raft.CurrentTerm(), Commit: g.raft.CommitIndex(),
		Applied: g.fsm.marks.now(), History: g.fsm.history.Load(), Ready: g.ready(), Members: g.fsm.members.Load().Configuration,
	}
	index, sum, ok, err := s.store.Digest(g.shard)
	if ok {
		st.Digest = &digestOf{index, hexOf(sum)}
	}
	return st, err
}

// Status is what one shard is like, for people.
type Status struct {
	Shard   uint16   `json:"shard"`
	State   string   `json:"state"` // Of this node: Leader, Follower, Candidate, or "elsewhere".
	Leader  string   `json:"leader"`
	Applied uint64   `json:"applied"`
	Lag     uint64   `json:"lag"`              // Entries that this node knows to be committed and has not applied.
	Silent  float64  `json:"silent,omitempty"` // Seconds since this node last heard of the leader, if it is not that.
	Ready   bool     `json:"ready"`
	Version uint64   `json:"version"`           // Of the entries, as far as this node has applied them.
	Instead string   `json:"instead,omitempty"` // Node that is asked instead, since this one is late.
	Unbegun string   `json:"unbegun,omitempty"` // Why the shard is not founded, as far as this node knows.
	Voters  []string `json:"voters"`
	Others  []string `json:"nonvoters,omitempty"`
	Wanted  []string `json:"wanted"` // Voters of the table.
}

// Statuses returns all shards as this node sees them.
func (s *Set) Statuses() []Status {
	list := make([]Status, len(s.cfg.Voters))
	for i := range list {
		list[i] = Status{Shard: uint16(i), State: "elsewhere", Wanted: s.cfg.Voters[i]}
		g := s.group(uint16(i))
		if g == nil {
			continue
		}
		st := &list[i]
		st.State, st.Leader, st.Applied, st.Ready = g.raft.State().String(), g.leader(), g.fsm.marks.now(), g.ready()
		st.Version = g.fsm.version.Load()
		st.Instead = g.better()
		if why := g.obstacle.Load(); why != nil && !g.holds() {
			st.Unbegun = *why
		}
		if need, err := g.logs.reaches(g.raft.CommitIndex()); err == nil && need > st.Applied {
			st.Lag = need - st.Applied
		}
		if heard := g.raft.LastContact(); !heard.IsZero() && g.raft.State() != raft.Leader {
			st.Silent = time.Since(heard).Seconds()
		}
		for _, m := range g.fsm.members.Load().Servers {
			if m.Suffrage == raft.Voter {
				st.Voters = append(st.Voters, nodeOf(m.ID))
			} else {
				st.Others = append(st.Others, nodeOf(m.ID))
			}
		}
	}
	return list
}

var _ shard.Log = (*Set)(nil)
