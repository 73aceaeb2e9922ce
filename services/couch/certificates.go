package couch

import (
	"context"
	"math/rand/v2"
	"time"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Certificates is the database through which the CA and the webapp meet: a pool
// of anonymous client certificates, and requests for certificates of users.
type Certificates struct{ db database }

// Certificates returns the store of certificates.
func (d *DB) Certificates() *Certificates {
	return &Certificates{d.in("client_certificates", "certificate")}
}

// certificateDoc is a Certificate as it is stored: with a mark of who took it.
type certificateDoc struct {
	record.Certificate

	TakenBy string `json:"taken_by"` // Random; "" while it is in the pool.
}

// Add puts a certificate into the pool; Exist when its id is used. An empty ID
// becomes a random one.
func (s *Certificates) Add(ctx context.Context, c record.Certificate) error {
	if c.ID == "" {
		c.ID = randomHex(16)
	}
	if !safeID(c.ID) {
		return problem.Invalid.Errorf("malformed certificate id")
	}
	c.Type, c.Rev = "Certificate", ""
	_, err := s.db.create(ctx, c.ID, certificateDoc{Certificate: c})
	return err
}

// Take removes one certificate of a plan, or of any ("") from the pool and returns
// it; no two callers get the same. Unavailable when the pool has none. When the
// answer of the database is lost, so is the certificate.
func (s *Certificates) Take(ctx context.Context, plan lease.Plan) (record.Certificate, error) {
	for range maxContenders {
		list, err := s.pool(ctx, plan, 50)
		if err != nil {
			return record.Certificate{}, err
		}
		if len(list) == 0 {
			break
		}
		rand.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
		for _, c := range list[:min(len(list), 5)] {
			taken, err := s.take(ctx, c)
			if err != nil || taken.ID != "" {
				return taken, err
			}
		}
	}
	return record.Certificate{}, problem.Unavailable.Errorf("there are no certificates at the moment")
}

// take tries to take c; a zero Certificate means that it was too late.
func (s *Certificates) take(ctx context.Context, c certificateDoc) (record.Certificate, error) {
	cert := c.Certificate
	c.TakenBy, c.Key = randomHex(16), "" // The key leaves with the taker.
	rev, err := s.db.update(ctx, c.ID, c)
	if problem.KindOf(err) == problem.Stale {
		return record.Certificate{}, nil
	}
	if err != nil {
		return record.Certificate{}, err
	}
	// It is taken, whether or not this succeeds: see clean.
	_ = s.db.remove(ctx, c.ID, rev)
	if !s.db.db.now().Before(cert.ValidUntil) {
		return record.Certificate{}, nil // It expired in the pool.
	}
	cert.Rev = ""
	return cert, nil
}

// inPool selects the certificates of a plan, or of any (""), that are not taken.
func inPool(plan lease.Plan) map[string]any {
	selector := map[string]any{"type": "Certificate", "taken_by": ""}
	if plan != "" {
		selector["plan"] = string(plan)
	}
	return selector
}

// pool returns up to limit certificates that are not taken.
func (s *Certificates) pool(ctx context.Context, plan lease.Plan, limit int) ([]certificateDoc, error) {
	var list []certificateDoc
	q := query{Selector: inPool(plan), Limit: limit}
	err := s.db.find(ctx, q, "pool", into(&list))
	return list, err
}

// Count returns the number of certificates of a plan, or of any (""), in the pool;
// above 1000 it may count less.
func (s *Certificates) Count(ctx context.Context, plan lease.Plan) (int, error) {
	now := s.db.db.now()
	var list []struct {
		ValidUntil time.Time `json:"valid_until"`
	}
	q := query{
		Selector: inPool(plan),
		Fields:   []string{"valid_until"}, Limit: maxDocuments,
	}
	if err := s.db.find(ctx, q, "pool", into(&list)); err != nil {
		return 0, err
	}
	n := 0
	for _, c := range list {
		if now.Before(c.ValidUntil) {
			n++
		}
	}
	return n, nil
}

// clean removes what has expired or was taken by somebody who then vanished.
func (s *Certificates) clean(ctx context.Context) error {
	now := s.db.db.now()
	var list []struct {
		meta

		ValidUntil time.Time `json:"valid_until"`
		TakenBy    string    `json:"taken_by"`
	}
	q := query{
		Selector: map[string]any{"type": "Certificate", "taken_by": map[string]any{"$exists": true}},
		Fields:   []string{"_id", "_rev", "valid_until", "taken_by"}, Limit: maxDocuments,
	}
	if err := s.db.find(ctx, q, "pool", into(&list)); err != nil {
		return err
	}
	var docs []any
	for _, c := range list {
		if c.TakenBy != "" || !now.Before(c.ValidUntil) {
			docs = append(docs, meta{ID: c.ID, Rev: c.Rev, Deleted: true})
		}
	}
	_, err := s.db.bulk(ctx, docs)
	return err
}
