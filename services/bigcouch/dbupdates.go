package bigcouch

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"sync"

	"leap.example/services/bigcouch/store"
)

// _db_updates tells what happens to databases whose shard is on this node, and
// which are made and dropped anywhere. A node knows it from the first request
// on; whoever comes from before that, or from another life of the node, hears
// of every database that there is.

// names knows databases by what updates call them.
type names struct {
	mu   sync.Mutex // Guards m.
	m    map[uint64]string
	life store.Database // The sequences are those of this life of the node.
}

// begin begins a life.
func (n *names) begin() {
	var id [8]byte
	rand.Read(id[:])
	n.m, n.life.ID = map[uint64]string{}, binary.BigEndian.Uint64(id[:])
}

// of returns the name of a database, "" if there is none.
func (n *names) of(v *store.View, u store.Update) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if u.Name != "" {
		if n.m[u.DB] = u.Name; u.Type == store.Dropped {
			delete(n.m, u.DB)
		}
		return u.Name, nil
	}
	if name, known := n.m[u.DB]; known {
		return name, nil
	}
	n.m[u.DB] = "" // Looked for once.
	for d, err := range v.Databases() {
		if err != nil {
			return "", err
		}
		n.m[d.ID] = d.Name
	}
	return n.m[u.DB], nil
}

// A dbFeed is one request for updates of databases.
type dbFeed struct {
	live
	since uint64 // 0: from the beginning. Else one more than the Seq of the store.
}

func (c *call) dbUpdates() error {
	if err := c.wantAdmin(); err != nil {
		return err
	}
	l, err := c.newLive()
	if err != nil {
		return err
	}
	f := dbFeed{live: l}
	_, now, _, _ := c.store.Updates(0)
	if f.since, err = parseSeq(&c.names.life, f.sinceParameter(), now+1); err != nil {
		return err
	}
	f.open()
	if f.kind == "normal" {
		_, err = f.look()
	} else {
		err = f.follow()
	}
	if err != nil {
		return err
	}
	return f.finish(f.seq(f.since), "")
}

func (f *dbFeed) seq(n uint64) string { return strconv.Quote(seqString(&f.names.life, n)) }

// follow writes updates as they come.
func (f *dbFeed) follow() error {
	f.metrics.feeds.Inc()
	defer f.metrics.feeds.Dec()
	for {
		changed, err := f.look()
		if err != nil || f.kind == "longpoll" && f.rows > 0 {
			return err
		}
		if err := f.flush(); err != nil {
			return err
		}
		if over, err := f.wait(changed); over || err != nil {
			return err
		}
	}
}

// look writes what there is now. The view is younger than the list, so that it
// has the names of what was made.
func (f *dbFeed) look() (changed <-chan struct{}, err error) {
	list, now, all, changed := f.store.Updates(max(1, f.since) - 1)
	everything := f.since == 0 || !all
	if everything {
		list, now, _, changed = f.store.Updates(0)
	}
	v := f.view()
	defer v.Close()
	if everything {
		if err := f.others(v, list); err != nil {
			return changed, err
		}
	}
	for _, u := range list {
		name, err := f.names.of(v, u)
		if err != nil {
			return changed, err
		}
		if name != "" {
			f.row(name, u.Type, u.Seq+1)
		}
	}
	f.since = now + 1
	return changed, nil
}

// others writes a row for each database of which there are no news.
func (f *dbFeed) others(v *store.View, news []store.Update) error {
	known := map[uint64]bool{}
	for _, u := range news {
		known[u.DB] = true
	}
	for d, err := range v.Databases() {
		if err != nil {
			return err
		}
		if d.State == store.Live && !known[d.ID] {
			f.row(d.Name, store.Created, 1)
		}
	}
	return nil
}

func (f *dbFeed) row(name, kind string, n uint64) {
	f.beginRow()
	seq := f.seq(n)
	data, _ := json.Marshal(struct { // Strings cannot fail.
		Name string          `json:"db_name"`
		Type string          `json:"type"`
		Seq  json.RawMessage `json:"seq"`
	}{name, kind, json.RawMessage(seq)})
	f.out.Write(data)
	f.endRow(seq)
}
