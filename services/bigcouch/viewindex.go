package bigcouch

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"leap.example/services/bigcouch/order"
	"leap.example/services/bigcouch/store"
	"leap.example/services/bigcouch/view"
)

// How much of a database one step of a view looks at.
const (
	stepDocs  = 500
	stepBytes = 4 << 20 // Of documents and of rows.
)

// A rowSet names the rows of a view.
type rowSet struct {
	shard uint16
	db    uint64
	id    store.ViewID
}

// builders has those who bring views up to date, one for each set of rows.
type builders struct {
	mu sync.Mutex // Guards m.
	m  map[rowSet]*builder
}

type builder struct {
	turn    chan struct{} // Has room for the one at work.
	waiting int
}

// acquire waits until nobody else builds the rows, and returns what ends the
// turn.
func (b *builders) acquire(ctx context.Context, s rowSet) (func(), error) {
	b.mu.Lock()
	if b.m == nil {
		b.m = map[rowSet]*builder{}
	}
	one := b.m[s]
	if one == nil {
		one = &builder{turn: make(chan struct{}, 1)}
		b.m[s] = one
	}
	one.waiting++
	b.mu.Unlock()
	leave := func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if one.waiting--; one.waiting == 0 {
			delete(b.m, s)
		}
	}
	select {
	case one.turn <- struct{}{}:
		return func() { <-one.turn; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

// waiting returns how many wait for a set of rows, and whether somebody builds
// it.
func (b *builders) state(s rowSet) (waiting int, building bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.m[s]
	if one == nil {
		return 0, false
	}
	return max(0, one.waiting-1), len(one.turn) > 0
}

// refresh brings the rows of a view to where the database is now, or later.
func (c *call) refresh(ctx context.Context, f *mapReduce) error {
	v := c.view()
	info, err := v.Info(c.db)
	v.Close()
	if err != nil {
		return err
	}
	if info == nil {
		return store.ErrNoDatabase
	}
	release, err := c.builders.acquire(ctx, rowSet{c.db.Shard, c.db.ID, f.id})
	if err != nil {
		return err
	}
	defer release()
	for {
		done, err := c.step(ctx, f, info)
		if done || err != nil {
			return err
		}
	}
}

// step brings the rows one step closer to target, and reports whether they
// have reached it.
func (c *call) step(ctx context.Context, f *mapReduce, target *store.Info) (bool, error) {
	v := c.view()
	defer v.Close()
	from, err := v.ViewState(c.db, f.id)
	if err != nil || from.Seq >= target.Seq && from.Purged >= target.Purged {
		return true, err
	}
	info, err := v.Info(c.db)
	if err != nil {
		return true, err
	}
	if info == nil {
		return true, store.ErrNoDatabase
	}
	if from == (store.ViewState{}) {
		if err := c.cleanViews(v); err != nil { // What was there before it.
			return true, err
		}
	}
	purged, all, err := v.Purges(c.db, from.Purged)
	if err != nil {
		return true, err
	}
	if from != (store.ViewState{}) && (!all || from.Seq > info.Seq || from.Purged > info.Purged) {
		return false, c.store.DropView(c.db, f.id)
	}
	s := stepper{call: c, f: f, v: v}
	defer s.close()
	to := store.ViewState{Seq: from.Seq, Purged: info.Purged}
	if to.Seq, err = s.changes(ctx, from.Seq, info.Seq); err != nil {
		return true, err
	}
	if from.Seq > 0 {
		for _, id := range purged {
			if err := s.purged(id); err != nil {
				return true, err
			}
		}
	}
	_, err = c.store.WriteView(v, c.db, f.id, from, to, s.made)
	if errors.Is(err, store.ErrViewMoved) {
		return false, ctx.Err() // Look again where it is.
	}
	return false, err
}

// A stepper makes rows.
type stepper struct {
	*call
	f       *mapReduce
	v       *store.View
	session *view.Session // Nil until JavaScript runs.
	made    []store.ViewChange
	size    int
}

func (s *stepper) close() {
	if s.session != nil {
		s.session.Close()
	}
}

// changes maps what has changed after since, and returns how far that is.
func (s *stepper) changes(ctx context.Context, since, latest uint64) (uint64, error) {
	for ch, err := range s.v.Changes(s.db, since, false) {
		if err != nil {
			return since, err
		}
		rows, err := s.rows(ctx, ch)
		if err != nil {
			return since, err
		}
		s.made = append(s.made, store.ViewChange{ID: ch.ID, Rows: rows})
		if len(s.made) >= stepDocs || s.size >= stepBytes {
			return ch.Seq, ctx.Err()
		}
	}
	return latest, ctx.Err()
}

// purged takes out the rows of a document that is no more. One that is has
// changed.
func (s *stepper) purged(id string) error {
	d, err := s.v.Document(s.db, id)
	if err != nil || d != nil {
		return err
	}
	for _, ch := range s.made {
		if ch.ID == id {
			return nil
		}
	}
	s.made = append(s.made, store.ViewChange{ID: id})
	return nil
}

// rows maps one document.
func (s *stepper) rows(ctx context.Context, ch store.Change) ([]store.Emit, error) {
	if ch.Deleted || isDesign(ch.ID) && (!s.f.designs || s.copied(ch.ID)) {
		return nil, nil
	}
	d, err := s.v.Document(s.db, ch.ID)
	if err != nil || d == nil {
		return nil, err
	}
	doc, err := s.json(s.v, d, store.Node{Rev: d.Rev, Leaf: true}, render{conflicts: true, deletedToo: true})
	if err != nil {
		return nil, err
	}
	if s.session == nil && !s.f.m.Native() {
		if s.session, err = s.scripts.Open(ctx); err != nil {
			return nil, err
		}
	}
	emitted, err := s.f.m.Rows(ctx, s.session, doc)
	if err != nil {
		return nil, scriptError(err)
	}
	rows := make([]store.Emit, len(emitted))
	s.size += len(doc)
	for i, r := range emitted {
		key, err := view.Value(r.Key)
		if err != nil {
			return nil, err
		}
		rows[i] = store.Emit{Order: order.Append(nil, key), Key: r.Key, Value: r.Value}
		s.size += len(rows[i].Order) + len(r.Key) + len(r.Value)
	}
	return rows, nil
}

// json returns a leaf of a document as functions see it.
func (c *call) json(v *store.View, d *store.Document, leaf store.Node, o render) ([]byte, error) {
	var b bytes.Buffer
	err := c.writeDocument(&b, v, d, leaf, o)
	return b.Bytes(), err
}

// scriptError is what the client sees of an error of package view.
func scriptError(err error) error {
	for _, bound := range []error{view.ErrTime, view.ErrHeap, view.ErrOutput, view.ErrInput} {
		if errors.Is(err, bound) {
			return &wireError{500, "os_process_error", "A function of a design document was stopped: " + bound.Error()}
		}
	}
	return err
}
