package couch

import (
	"context"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Tickets is the database of questions to the support.
type Tickets struct{ db database }

// Tickets returns the store of tickets.
func (d *DB) Tickets() *Tickets { return &Tickets{d.in("tickets", "ticket")} }

// Create stores a ticket under its id and sets its Rev; Exist when the id is
// used.
func (s *Tickets) Create(ctx context.Context, t *record.Ticket) error {
	if !safeID(t.ID) {
		return problem.Invalid.Errorf("malformed ticket id")
	}
	doc := *t
	doc.Type, doc.Rev = "Ticket", ""
	rev, err := s.db.create(ctx, doc.ID, doc)
	if err != nil {
		return err
	}
	t.Type, t.Rev = doc.Type, rev
	return nil
}

// ByID returns a ticket; NotExist when there is none.
func (s *Tickets) ByID(ctx context.Context, id string) (*record.Ticket, error) {
	if !safeID(id) {
		return nil, problem.NotExist.Errorf("no such ticket")
	}
	t := new(record.Ticket)
	if err := s.db.get(ctx, id, t); err != nil {
		return nil, err
	}
	return t, nil
}

// Update stores a ticket that was read before and sets its Rev; Stale when it
// was changed since.
func (s *Tickets) Update(ctx context.Context, t *record.Ticket) error {
	rev, err := s.db.update(ctx, t.ID, t)
	if err == nil {
		t.Rev = rev
	}
	return err
}
