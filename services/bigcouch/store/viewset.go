package store

import (
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Rows of views are derived from documents. They are written by whoever asks
// for them, not by the log: each node has those that it was asked for, and what
// is missing is made again. One batch takes a view from one sequence to a later
// one, so that a View never has half a document's rows.

// ErrViewMoved means that the rows of a view are not where the writer has seen
// them: another writer was there, or they were dropped.
var ErrViewMoved = errors.New("store: the view has moved")

// A ViewChange has the rows of a document as it is now: none if it was
// deleted.
type ViewChange struct {
	ID   string
	Rows []Emit
}

// views orders what writes rows of views and what drops them.
type views struct{ mu sync.Mutex }

// WriteView brings the rows of a view from one state to a later one, whose Rows
// it counts. changes are all documents that have changed between, each once.
// It returns ErrViewMoved unless the view is in the state from. v is what the
// changes were read from: if its shard was replaced since, it refuses.
func (s *Store) WriteView(v *View, db *Database, id ViewID, from, to ViewState, changes []ViewChange) (ViewState, error) {
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	if err := v.fresh(db.place().counters()); err != nil {
		return from, err
	}
	p, src := db.place(), source{r: s.db}
	c, err := src.counters(p)
	if err != nil {
		return from, err
	}
	now, err := src.viewState(p, id)
	if err != nil {
		return from, err
	}
	if c == nil || now != from {
		return from, ErrViewMoved
	}
	now.Seq, now.Purged = to.Seq, to.Purged
	b := s.db.NewBatch()
	set := func(key, value []byte) { _ = b.Set(key, value, nil) } // Cannot fail: it lies in memory.
	for _, ch := range changes {
		former, err := src.get(p.viewTable(id, viewDoc, []byte(ch.ID)))
		if err != nil {
			return from, errors.Join(err, b.Close())
		}
		if former != "" {
			places, err := parsePlaces(former)
			if err != nil {
				return from, errors.Join(err, b.Close())
			}
			for _, at := range places {
				_ = b.Delete(p.viewTable(id, viewRows, at), nil)
			}
			now.Rows -= uint64(len(places))
		}
		var places [][]byte
		for n, e := range ch.Rows {
			at := viewPlace(e.Order, ch.ID, n)
			places = append(places, at)
			set(p.viewTable(id, viewRows, at), encodeViewRow(ch.ID, e))
		}
		now.Rows += uint64(len(places))
		if places != nil {
			set(p.viewTable(id, viewDoc, []byte(ch.ID)), encodePlaces(places))
		} else if former != "" {
			_ = b.Delete(p.viewTable(id, viewDoc, []byte(ch.ID)), nil)
		}
	}
	set(p.viewTable(id, viewState), now.encode())
	// What a crash takes is made again.
	if err := b.Commit(pebble.NoSync); err != nil {
		return from, fmt.Errorf("committing rows of a view: %w", err)
	}
	return now, b.Close()
}

// DropViews drops the rows of all views of a database but those to keep.
func (s *Store) DropViews(db *Database, keep map[ViewID]bool) error {
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	p, src := db.place(), source{r: s.db}
	start, end := p.span(kindView)
	n := len(start)
	var drop []ViewID
	for more := true; more; {
		more = false
		err := src.each(start, end, func(key, _ []byte) (bool, error) {
			var id ViewID
			if copy(id[:], key[n:]) < len(id) {
				return false, errRow
			}
			if !keep[id] {
				drop = append(drop, id)
			}
			_, start = p.view(id)
			more = true
			return false, nil
		})
		if err != nil {
			return err
		}
	}
	if drop == nil {
		return nil
	}
	b := s.db.NewBatch()
	for _, id := range drop {
		start, end := p.view(id)
		_ = b.DeleteRange(start, end, nil) // Cannot fail: it lies in memory.
	}
	return errors.Join(b.Commit(pebble.NoSync), b.Close())
}

// DropView drops the rows of a view: they are made anew.
func (s *Store) DropView(db *Database, id ViewID) error {
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	start, end := db.place().view(id)
	return s.db.DeleteRange(start, end, pebble.NoSync)
}

// dropViews drops the rows of all views with the batch.
func (b *Batch) dropViews(p place) {
	b.deleteRange(p.span(kindView))
	b.views = true
}

func (s source) viewState(p place, id ViewID) (ViewState, error) {
	data, err := s.get(p.viewTable(id, viewState))
	if err != nil || data == "" {
		return ViewState{}, err
	}
	return parseViewState(data)
}

// ViewState returns how far the rows of a view have come, zero if there are
// none.
func (v *View) ViewState(db *Database, id ViewID) (ViewState, error) {
	return v.viewState(db.place(), id)
}

// ViewSize returns about how many bytes the rows of a view take on the disk.
func (s *Store) ViewSize(db *Database, id ViewID) (uint64, error) {
	start, end := db.place().view(id)
	return s.db.EstimateDiskUsage(start, end)
}

// ViewRows returns rows of a view in the order of their places.
func (v *View) ViewRows(db *Database, id ViewID, in Span) iter.Seq2[ViewRow, error] {
	start, end := db.place().viewRange(id, in)
	n := len(db.place().viewTable(id, viewRows))
	return rows(v.source, start, end, in.Descending, func(key, value []byte) (ViewRow, error) {
		return parseViewRow(key[n:], value)
	})
}

// CountViewRows returns how many rows of a view lie in a span.
func (v *View) CountViewRows(db *Database, id ViewID, in Span) (n int, err error) {
	start, end := db.place().viewRange(id, in)
	err = v.each(start, end, func(_, _ []byte) (bool, error) {
		n++
		return true, nil
	})
	return n, err
}

func (p place) viewRange(id ViewID, in Span) (start, end []byte) {
	start = p.viewTable(id, viewRows, in.Start)
	if in.End == nil {
		return start, after(p.viewTable(id, viewRows))
	}
	return start, p.viewTable(id, viewRows, in.End)
}
