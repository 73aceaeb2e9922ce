package couch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"leap.example/services/couch"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// A device reads while writers append, stop anywhere, and go on too late. In
// the end it has what the database has, and no document that somebody was told
// is stored is missing.
func TestRandomWriters(t *testing.T) {
	t.Parallel()
	db, s, c := userDatabase(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	m := &model{t: t, ctx: t.Context(), r: r, db: db, device: map[string]string{}, stored: map[string]string{}}
	slow := &clock{c.Time} // The clock of the writers lags behind.
	m.writer = open(t, s, user, slow)
	for range 150 {
		c.Time = c.Add(time.Duration(r.IntN(6)) * time.Second)
		slow.Time = c.Time
		m.step()
	}
	c.Time = c.Add(couch.Grace + 2*time.Second)
	m.read()
	for id, rev := range m.stored {
		d, err := db.Get(m.ctx, id)
		check(t, "reading "+id, err)
		if d.Rev != rev && !m.maybe[id+d.Rev] {
			t.Errorf("%s is stored as %s, want %s", id, d.Rev, rev)
		}
		if m.device[id] != d.Rev {
			t.Errorf("the device has %s of %s, the database %s", m.device[id], id, d.Rev)
		}
	}
}

// maxDocs is how many documents the writers fight for: so many that a change
// which the device has missed is not covered by a later one.
const maxDocs = 60

// model is the state of TestRandomWriters.
type model struct {
	t      *testing.T
	ctx    context.Context
	r      *rand.Rand
	db     *couch.UserDB // Of the device.
	writer *couch.UserDB
	n      int

	gen     int               // Of the device.
	device  map[string]string // Revisions by id.
	stored  map[string]string // What writers were told is stored.
	maybe   map[string]bool   // Id and revision of what a slow writer may have written.
	stopped []stoppedWriter
}

type stoppedWriter struct {
	w    *couch.Writer
	docs []u1db.Document
}

func (m *model) step() {
	switch m.r.IntN(6) {
	case 0, 1, 2:
		docs, prev := m.documents()
		_, err := m.writer.Append(m.short(), docs, prev)
		switch {
		case err == nil:
			m.note(docs)
		case !errors.Is(err, problem.Stale) && !errors.Is(err, problem.Unavailable):
			m.t.Fatalf("appending: %v", err)
		default:
			m.perhaps(docs)
		}
	case 3: // Stops after the claim, or in the middle.
		docs, _ := m.documents()
		_, gen, _, err := m.db.Info(m.ctx)
		check(m.t, "information", err)
		w, err := couch.Begin(m.ctx, m.writer, gen, docs)
		check(m.t, "claiming", err)
		m.stopped = append(m.stopped, stoppedWriter{w, docs})
	case 4: // One that has stopped goes on, perhaps only in part.
		if len(m.stopped) == 0 {
			return
		}
		i := m.r.IntN(len(m.stopped))
		s := m.stopped[i]
		m.stopped = append(m.stopped[:i], m.stopped[i+1:]...)
		n := 1 + m.r.IntN(len(s.docs))
		m.perhaps(s.docs[:n])
		if err := s.w.Write(m.ctx, n); err == nil {
			m.note(s.docs[:n])
		} else if !errors.Is(err, problem.Stale) {
			m.t.Fatalf("going on: %v", err)
		}
	case 5:
		m.read()
	}
}

// short is the patience of a writer that stands behind one that has stopped.
func (m *model) short() context.Context {
	ctx, cancel := context.WithTimeout(m.ctx, 50*time.Millisecond)
	m.t.Cleanup(cancel)
	return ctx
}

// documents returns new versions of some documents, and the revisions they are
// made of.
func (m *model) documents() (docs []u1db.Document, prev []string) {
	for _, k := range m.r.Perm(maxDocs)[:1+m.r.IntN(3)] {
		id := fmt.Sprint("doc", k)
		old := ""
		if d, err := m.db.Get(m.ctx, id); err == nil {
			old = d.Rev
		} else if !errors.Is(err, problem.NotExist) {
			m.t.Fatal(err)
		}
		m.n++
		docs = append(docs, document(id, fmt.Sprintf("r:%d", m.n)))
		prev = append(prev, old)
	}
	return docs, prev
}

func (m *model) note(docs []u1db.Document) {
	for _, d := range docs {
		m.stored[d.ID] = d.Rev
	}
}

func (m *model) perhaps(docs []u1db.Document) {
	if m.maybe == nil {
		m.maybe = map[string]bool{}
	}
	for _, d := range docs {
		m.maybe[d.ID+d.Rev] = true
	}
}

// read brings the device up to date.
func (m *model) read() {
	_, gen, _, err := m.db.Info(m.ctx)
	check(m.t, "information", err)
	if gen < m.gen {
		m.t.Fatalf("the database went back from %d to %d", m.gen, gen)
	}
	changes, err := m.db.Changes(m.ctx, m.gen, 1000)
	check(m.t, "changes", err)
	var ids []string
	for _, c := range changes {
		ids = append(ids, c.DocID)
	}
	docs, err := m.db.GetMany(m.ctx, ids)
	check(m.t, "documents", err)
	for _, d := range docs {
		m.device[d.ID] = d.Rev
	}
	m.gen = gen
}
