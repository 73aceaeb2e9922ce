package store

import (
	"cmp"
	"slices"
	"sync"
)

// What happened to a database.
const (
	Created = "created"
	Updated = "updated"
	Dropped = "deleted"
)

// An Update is the latest thing that happened to a database.
type Update struct {
	Seq  uint64 // Of this store since it was opened.
	DB   uint64
	Name string // Of Created and Dropped only.
	Type string
}

// maxUpdates is how many databases are remembered by their latest update.
const maxUpdates = 4096

// updates remembers which databases have changed, from the moment that
// somebody first asks.
type updates struct {
	mu      sync.Mutex // Guards what follows.
	asked   bool
	seq     uint64
	lost    uint64 // The highest Seq that is forgotten.
	latest  map[uint64]Update
	changed chan struct{} // Closed at the next update. Nil: nobody waits.
}

// add notes what a batch has changed.
func (u *updates) add(open []openDB, named []Update) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.asked || len(open)+len(named) == 0 {
		return
	}
	for _, o := range open {
		if o.c != nil {
			u.note(Update{DB: o.p.db, Type: Updated})
		}
	}
	for _, n := range named {
		u.note(n)
	}
	if u.changed != nil {
		close(u.changed)
		u.changed = nil
	}
}

func (u *updates) note(n Update) {
	u.seq++
	n.Seq = u.seq
	u.latest[n.DB] = n
	if len(u.latest) <= maxUpdates {
		return
	}
	all := u.sorted(0)
	for _, old := range all[:maxUpdates/4] { // Many at once: sorting is what costs.
		delete(u.latest, old.DB)
		u.lost = old.Seq
	}
}

// sorted returns the updates after since, the oldest first.
func (u *updates) sorted(since uint64) (list []Update) {
	for _, n := range u.latest {
		if n.Seq > since {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b Update) int { return cmp.Compare(a.Seq, b.Seq) })
	return list
}

// Updates returns the latest update of each database that has changed after
// since, and the Seq up to which that is. all means that none is missing: what
// happened before the first call, or too long ago, is not known. changed
// closes at the next update.
func (s *Store) Updates(since uint64) (list []Update, seq uint64, all bool, changed <-chan struct{}) {
	u := &s.updates
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.asked {
		u.asked, u.latest = true, map[uint64]Update{}
	}
	if u.changed == nil {
		u.changed = make(chan struct{})
	}
	return u.sorted(since), u.seq, since >= u.lost && since <= u.seq, u.changed
}
