package group

import (
	"errors"
	"fmt"
	"time"

	"leap.example/services/bigcouch/store"
)

// A promise outlives a founder that was lost before he has kept it. When his node
// comes back wiped it founds the shard as another server. When it never comes
// back, and the table names another founder, nobody can tell whether the old one
// has founded the shard with others that are gone too: a person has to say that
// he is gone for good, and have the promise released.

// patience is for how long a node that is started waits for a founder before it
// says so.
const patience = 30 * time.Second

// awaited notes that this node, which has nothing of the shard, waits for its
// founder.
func (g *group) awaited() error {
	promised, err := g.logs.log.Value(promiseKey)
	if err != nil || promised == "" || time.Since(g.began) < patience {
		return err
	}
	g.obstacle.Store(new("it is promised to " + promised))
	return nil
}

// Promised returns whom a store that is not served has promised a shard that it
// has nothing of, "" if it has promised nothing or has something.
func Promised(st *store.Store, shardNo uint16) (server string, err error) {
	h, err := st.Head(shardNo)
	if err != nil || h.Index > 0 {
		return "", err
	}
	l := &logs{log: st.Log(shardNo)}
	last, err := l.LastIndex()
	if err != nil || last > 0 {
		return "", err
	}
	if term, err := l.GetUint64(termKey); !errors.Is(err, errNotFound) && (err != nil || term > 0) {
		return "", err
	}
	return l.log.Value(promiseKey)
}

// Release takes the promise of a shard back, which Promised returns. Whom it was
// given must be gone for good: he may have founded the shard.
func Release(st *store.Store, shardNo uint16) error {
	server, err := Promised(st, shardNo)
	if err == nil && server == "" {
		err = fmt.Errorf("shard %d is promised to nobody, or there is something of it here", shardNo)
	}
	if err != nil {
		return err
	}
	return st.Log(shardNo).SetValue(promiseKey, nil)
}
