package couch

import (
	"context"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Customers is the database of paying users.
type Customers struct{ db database }

// Customers returns the store of customers.
func (d *DB) Customers() *Customers { return &Customers{d.in("customers", "customer")} }

// Create stores a customer under the id of its user and sets its Rev; Exist
// when the user is one.
func (s *Customers) Create(ctx context.Context, c *record.Customer) error {
	if !safeID(c.ID) {
		return problem.Invalid.Errorf("malformed user id")
	}
	doc := *c
	doc.Type, doc.Rev = "Customer", ""
	rev, err := s.db.create(ctx, doc.ID, doc)
	if err != nil {
		return err
	}
	c.Type, c.Rev = doc.Type, rev
	return nil
}

// ByUser returns the customer of a user; NotExist when he pays nothing.
func (s *Customers) ByUser(ctx context.Context, userID string) (*record.Customer, error) {
	if !safeID(userID) {
		return nil, problem.NotExist.Errorf("no such customer")
	}
	var c record.Customer
	if err := s.db.get(ctx, userID, &c); err != nil {
		return nil, err
	}
	return &c, nil
}

// Update stores a customer that was read before and sets its Rev; Stale when
// it was changed since.
func (s *Customers) Update(ctx context.Context, c *record.Customer) error {
	rev, err := s.db.update(ctx, c.ID, *c)
	if err != nil {
		return err
	}
	c.Rev = rev
	return nil
}

// Delete removes a customer that was read before; Stale when it was changed
// since.
func (s *Customers) Delete(ctx context.Context, c *record.Customer) error {
	return s.db.remove(ctx, c.ID, c.Rev)
}
