package store

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
)

// CatalogueShard is the shard that orders the commands of the catalogue.
const CatalogueShard = 0

// States of a database.
const (
	Creating = "creating" // Not yet open in its shard.
	Live     = "live"
	Deleting = "deleting" // Being dropped from its shard.
)

// A Database is one row of the catalogue.
type Database struct {
	Name      string          `json:"-" codec:"name"`
	ID        uint64          `json:"id"` // Of this incarnation.
	Shard     uint16          `json:"shard"`
	State     string          `json:"state"`
	RevsLimit int             `json:"revs_limit"`
	Created   int64           `json:"created"`            // Unix milliseconds.
	Security  json.RawMessage `json:"security,omitempty"` // Empty: the default.

	Epoch uint64 `json:"-" codec:"-"` // Of its shard, where it was read from a view (Head.Epoch).
	Part  int    `json:"-" codec:"-"` // Of a database in several parts: one more than the number of this one; 0: all of them.

	PurgedInfosLimit int `json:"purged_infos_limit,omitempty"` // Purges that are remembered. 0: 1000.

	Shards []uint16 `json:"shards,omitempty"` // Of each part, if there are several; the first is Shard.
}

// UUID returns the name of this incarnation.
func (d *Database) UUID() string { return hex.EncodeToString(u64(d.ID)) }

func (d *Database) place() place { return place{d.Shard, d.ID} }

// Places returns the shards that the database has a part in.
func (d *Database) Places() []uint16 {
	if d.Shards == nil {
		return []uint16{d.Shard}
	}
	return d.Shards
}

// Whole reports whether d stands for several parts, of which each is a database
// of its shard under the same ID.
func (d *Database) Whole() bool { return d.Shards != nil && d.Part == 0 }

// catalogued returns a row of the catalogue, nil when there is none.
func (s source) catalogued(name string) (*Database, error) {
	data, err := s.get(catalogueKey(name))
	if err != nil || data == "" {
		return nil, err
	}
	return parseDatabase(name, []byte(data))
}

func parseDatabase(name string, data []byte) (*Database, error) {
	d := &Database{Name: name}
	if json.Unmarshal(data, d) != nil {
		return nil, errRow
	}
	return d, nil
}

func (b *Batch) catalogue(d *Database) error {
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	b.set(catalogueKey(d.Name), data)
	return nil
}

// CreateDatabase enters a database into the catalogue, not yet live. If there
// is one of that name, whatever its state, the answer is ErrExists with it.
type CreateDatabase struct{ Database Database }

func (c CreateDatabase) apply(b *Batch) (Result, error) {
	d, err := b.catalogued(c.Database.Name)
	if err != nil || d != nil {
		return Result{Err: ErrExists, Database: d}, err
	}
	c.Database.State = Creating
	return Result{}, b.catalogue(&c.Database)
}

// CreateSpread is CreateDatabase for one in several parts. It is a command of its
// own, so that a release that does not know such databases stops at it instead
// of making another kind of it.
type CreateSpread CreateDatabase

func (c CreateSpread) apply(b *Batch) (Result, error) { return CreateDatabase(c).apply(b) }

// SetState moves a database to another state. One that is being deleted does
// not become live again.
type SetState struct {
	Name  string
	DB    uint64
	State string
}

func (c SetState) apply(b *Batch) (Result, error) {
	return b.change(c.Name, c.DB, func(d *Database) {
		if d.State != Deleting {
			d.State = c.State
		}
		if d.State == Live {
			b.named = append(b.named, Update{DB: d.ID, Name: d.Name, Type: Created})
		}
	})
}

// SetSecurity replaces the security object of a database.
type SetSecurity struct {
	Name     string
	DB       uint64
	Security json.RawMessage
}

func (c SetSecurity) apply(b *Batch) (Result, error) {
	return b.change(c.Name, c.DB, func(d *Database) { d.Security = c.Security })
}

func (b *Batch) change(name string, id uint64, f func(*Database)) (Result, error) {
	d, err := b.catalogued(name)
	if err != nil {
		return Result{}, err
	}
	if d == nil || d.ID != id {
		return Result{Err: ErrNoDatabase}, nil
	}
	f(d)
	return Result{}, b.catalogue(d)
}

// ForgetDatabase takes a database that has been dropped from its shard out of
// the catalogue.
type ForgetDatabase struct {
	Name string
	DB   uint64
}

func (c ForgetDatabase) apply(b *Batch) (Result, error) {
	d, err := b.catalogued(c.Name)
	if err != nil {
		return Result{}, err
	}
	if d == nil || d.ID != c.DB {
		return Result{Err: ErrNoDatabase}, nil
	}
	b.delete(catalogueKey(c.Name))
	b.named = append(b.named, Update{DB: c.DB, Name: c.Name, Type: Dropped})
	return Result{}, nil
}

// OpenDatabase opens a database in its shard: writes are taken from then on.
// Opening an open one changes nothing.
type OpenDatabase struct{ DB uint64 }

func (c OpenDatabase) apply(b *Batch) (Result, error) {
	p := place{b.shard, c.DB}
	known, err := b.database(p)
	if err != nil || known != nil {
		return Result{}, err
	}
	b.set(p.counters(), (&counters{}).encode())
	return Result{}, nil
}

// DropDatabase removes all rows of a database from its shard.
type DropDatabase struct{ DB uint64 }

func (c DropDatabase) apply(b *Batch) (Result, error) {
	p := place{b.shard, c.DB}
	b.deleteRange(p.span(kindData))
	b.deleteRange(p.span(kindIndex))
	b.dropViews(p)
	b.open = slices.DeleteFunc(b.open, func(o openDB) bool { return o.p == p })
	b.open = append(b.open, openDB{p, nil}) // Wakes feeds: they end.
	return Result{}, nil
}

// WriteLocal writes or deletes a local document. Local documents have no
// revision tree and no conflicts: each write makes revision 0-(n+1) of the
// 0-n it was given, or 0-1.
type WriteLocal struct {
	DB      uint64
	ID      string // Without "_local/".
	Rev     uint64 // The n that was given.
	Deleted bool
	Body    []byte
}

func (w WriteLocal) apply(b *Batch) (Result, error) {
	p := place{b.shard, w.DB}
	c, err := b.counters(p)
	if err != nil {
		return Result{}, err
	}
	if c == nil {
		return Result{Err: ErrNoDatabase}, nil
	}
	if w.Deleted {
		known, err := b.get(p.local(w.ID))
		if err != nil {
			return Result{}, err
		}
		if known == "" {
			return Result{Err: ErrMissing}, nil
		}
		b.delete(p.local(w.ID))
		return Result{Rev: "0-0"}, nil
	}
	rev := strconv.FormatUint(w.Rev+1, 10)
	b.set(p.local(w.ID), append(appendString(nil, rev), w.Body...))
	return Result{Rev: "0-" + rev}, nil
}
