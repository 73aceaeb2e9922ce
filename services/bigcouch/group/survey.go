package group

import (
	"errors"

	"github.com/hashicorp/raft"

	"leap.example/services/bigcouch/store"
)

// Remains is what a store has of a shard while it is not served.
type Remains struct {
	Shard     uint16   `json:"shard"`
	LastTerm  uint64   `json:"last_term"`  // Of the log, or of the state if that is all there is.
	LastIndex uint64   `json:"last_index"` // The same.
	Applied   uint64   `json:"applied"`    // Index up to which the state has everything.
	Beyond    uint64   `json:"beyond"`     // Entries of the log behind that, which may or may not have had a majority.
	Epoch     uint64   `json:"epoch"`
	Voters    []string `json:"voters"` // As of the state.
}

// Survey returns what a store has of a shard.
func Survey(st *store.Store, shardNo uint16) (r Remains, err error) {
	h, err := st.Head(shardNo)
	if err != nil {
		return r, err
	}
	r = Remains{Shard: shardNo, LastTerm: h.Term, LastIndex: h.Index, Applied: h.Index, Epoch: h.Epoch, Voters: []string{}}
	if len(h.Members) > 0 {
		for _, m := range raft.DecodeConfiguration(h.Members).Servers {
			if m.Suffrage == raft.Voter {
				r.Voters = append(r.Voters, nodeOf(m.ID))
			}
		}
	}
	l := &logs{log: st.Log(shardNo)}
	last, err := l.LastIndex()
	if err != nil || last <= h.Index {
		return r, err
	}
	var e raft.Log
	if err := l.GetLog(last, &e); err != nil {
		return r, errors.Join(errEntry, err)
	}
	r.LastTerm, r.LastIndex, r.Beyond = e.Term, last, last-h.Index
	return r, nil
}
