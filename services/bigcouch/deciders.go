package bigcouch

import "sync"

// deciders remembers which design documents decide about writes to a database:
// mostly none.
type deciders struct {
	mu sync.Mutex // Guards m.
	m  map[uint64]decider
}

// A decider is what was found of one database, and what Store.Designs said
// before it was looked for.
type decider struct {
	stamp   uint64
	designs []*design
}

func (m *deciders) get(db, stamp uint64) (designs []*design, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.m[db]
	return d.designs, d.stamp == stamp
}

func (m *deciders) put(db, stamp uint64, designs []*design) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.m == nil || len(m.m) >= maxDesigns {
		m.m = map[uint64]decider{}
	}
	m.m[db] = decider{stamp, designs}
}
