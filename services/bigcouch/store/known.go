package store

import (
	"encoding/binary"
	"strings"
	"sync"
)

// Every request needs a row of the catalogue, and every write has to know which
// design documents there are. Both hardly ever change: they are remembered, and
// forgotten by the batch that changes them before anybody hears of it.

// maxKnown bounds what is remembered of each.
const maxKnown = 4096

// known remembers rows of the catalogue, as View.Database returns them.
type known struct {
	mu      sync.RWMutex // Guards what follows.
	changes uint64       // How often something was forgotten.
	m       map[string]Database
}

// get returns a row, or else what put wants to hear.
func (k *known) get(name string) (d Database, ok bool, changes uint64) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	d, ok = k.m[name]
	return d, ok, k.changes
}

// put remembers what was read after get, unless something has changed since.
func (k *known) put(d Database, changes uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changes != changes {
		return
	}
	if k.m == nil || len(k.m) >= maxKnown {
		k.m = map[string]Database{}
	}
	k.m[d.Name] = d
}

func (k *known) forget(names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes++
	for _, name := range names {
		delete(k.m, name)
	}
}

func (k *known) clear() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes++
	k.m = nil
}

// Database returns a row of the catalogue as it is now, nil when there is none.
// It belongs to the caller, but for Security and Shards, which nobody changes.
func (s *Store) Database(name string) (*Database, error) {
	d, ok, changes := s.known.get(name)
	if ok {
		return &d, nil
	}
	v := s.View()
	defer v.Close()
	read, err := v.Database(name)
	if err == nil && read != nil {
		s.known.put(*read, changes)
	}
	return read, err
}

// stamps has a number for each database whose design documents somebody knows.
type stamps struct {
	mu   sync.Mutex // Guards what follows.
	last uint64
	m    map[place]uint64
}

// Designs returns a number that is another one when a design document of the
// database has changed since. What is read after the call is at least as new.
func (s *Store) Designs(db *Database) uint64 {
	t := &s.designs
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.m[db.place()]; n > 0 {
		return n
	}
	if t.m == nil || len(t.m) >= maxKnown {
		t.m = map[place]uint64{}
	}
	t.last++
	t.m[db.place()] = t.last
	return t.last
}

func (t *stamps) forget(dbs []place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, db := range dbs {
		delete(t.m, db)
	}
}

func (t *stamps) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m = nil
}

// forgetAll is for when shards are replaced as a whole.
func (s *Store) forgetAll() {
	s.known.clear()
	s.designs.clear()
}

// A news is what a batch makes others forget.
type news struct {
	names   []string // Rows of the catalogue.
	designs []place  // Of databases.
	all     bool
}

// wrote notes that a row is written or deleted.
func (n *news) wrote(key []byte) {
	if len(key) <= 12 || key[0] != kindData {
		return
	}
	switch rest := key[12:]; key[11] {
	case tabCatalogue:
		n.names = append(n.names, string(rest))
	case tabDoc:
		if strings.HasPrefix(string(rest), DesignPrefix) {
			n.designs = append(n.designs, place{binary.BigEndian.Uint16(key[1:]), binary.BigEndian.Uint64(key[3:])})
		}
	}
}

// tell makes the store forget it.
func (n *news) tell(s *Store) {
	if n.all {
		s.forgetAll()
		return
	}
	if n.names != nil {
		s.known.forget(n.names)
	}
	if n.designs != nil {
		s.designs.forget(n.designs)
	}
}
