package bigcouch

import "sync"

// deciders remembers which design documents decide about writes to a database:
// mostly none.
type deciders struct {
	mu sync.Mutex // Guards m.
	m  map[deciderKey]decider
}

// A deciderKey names a database in a shard: a part, if it has several.
type deciderKey struct {
	shard uint16
	db    uint64
}

// A decider is what was found of one database, and what Store.Designs said
// before it was looked for.
type decider struct {
	stamp   uint64
	designs []*design
	judged  uint64 // What View.Judged says where they were found.
}

func (m *deciders) get(db deciderKey, stamp uint64) (d decider, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d = m.m[db]
	return d, d.stamp == stamp
}

func (m *deciders) put(db deciderKey, d decider) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.m == nil || len(m.m) >= maxDesigns {
		m.m = map[deciderKey]decider{}
	}
	m.m[db] = d
}
